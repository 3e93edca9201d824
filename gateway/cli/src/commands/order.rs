//! `xinqiao order`: orders as the ledger has them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::{Value, json};
use xinqiao_ledger::{ids::OrderId, wire};

use crate::{
    client::{Client, explain},
    render,
};

/// Orders.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Show one order with its parts.
    Show {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The order.
        order: OrderId,
    },
    /// List orders, newest first.
    List {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 20)]
        count: u32,
    },
}

/// Runs the command.
pub async fn run(command: OrderCommand, as_json: bool) -> Result<()> {
    let orders = match command {
        OrderCommand::Show { profile, order } => {
            let answer = Client::open(&profile)?
                .state()
                .get_order(wire::GetOrderRequest {
                    order: order.to_vec(),
                })
                .await
                .map_err(explain)?;
            vec![
                answer
                    .into_inner()
                    .order
                    .context("the node answered without an order")?,
            ]
        }
        OrderCommand::List { profile, count } => {
            Client::open(&profile)?
                .audit()
                .list_orders(wire::ListOrdersRequest {
                    before_index: 0,
                    page_size: count,
                })
                .await
                .map_err(explain)?
                .into_inner()
                .orders
        }
    };
    if as_json {
        render::print_json(&json!(orders.iter().map(json_of).collect::<Vec<_>>()));
    } else {
        println!("{}", table(&orders));
    }
    Ok(())
}

/// Orders with their parts as a table.
pub fn table(orders: &[wire::OrderState]) -> comfy_table::Table {
    let mut table = render::table([
        "order",
        "placed",
        "institution",
        "purpose",
        "source",
        "items",
        "seal",
        "part",
        "holder",
        "reason",
    ]);
    for order in orders {
        let purpose = order
            .placed
            .as_ref()
            .map(|placed| placed.purpose.clone())
            .unwrap_or_default();
        for (index, part) in order.parts.iter().enumerate() {
            let of = part.part.clone().unwrap_or_default();
            let first = index == 0;
            let once = |text: String| if first { text } else { String::new() };
            table.add_row([
                once(render::short(&order.order)),
                once(render::moment(order.placed_at_ms)),
                once(order.institution.clone()),
                once(purpose.clone()),
                of.source,
                of.items.join(" "),
                render::seal_scheme(order.seal_scheme),
                render::part_status(part.status),
                render::short(&part.holder),
                part.reason.clone(),
            ]);
        }
    }
    table
}

fn json_of(order: &wire::OrderState) -> Value {
    let parts: Vec<Value> = order
        .parts
        .iter()
        .map(|part| {
            let of = part.part.clone().unwrap_or_default();
            json!({
                "source": of.source, "items": of.items, "status": render::part_status(part.status),
                "reason": part.reason, "ciphertext_digest": hex::encode(&part.ciphertext_digest),
                "delivery_tx": hex::encode(&part.delivery_tx), "holder": hex::encode(&part.holder),
                "group_epoch": part.group_epoch.as_ref().map(|epoch| json!({
                    "generation": epoch.generation, "epoch": epoch.epoch,
                    "authenticator": hex::encode(&epoch.authenticator),
                })),
            })
        })
        .collect();
    json!({
        "order": hex::encode(&order.order), "institution": order.institution,
        "placed_at_height": order.placed_at_height, "placed_at_ms": order.placed_at_ms,
        "missing_items": order.missing_items, "parts": parts,
        "seal_scheme": render::seal_scheme(order.seal_scheme),
        "disputed": order.disputed, "settled": order.settled,
    })
}
