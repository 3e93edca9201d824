//! `xinqiao catalogue`: the item catalogue as people look at it, check it and write it out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use xinqiao_ledger::{
    catalogue::{Catalogue, item::Shape, succession},
    ids::ItemCode,
    wire,
};

use crate::{
    client::{Client, explain},
    files, render,
};

/// The item catalogue.
#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// List the items, or the fields of one.
    Show {
        /// Which catalogue.
        #[command(flatten)]
        of: Of,
        /// The item whose fields are wanted.
        item: Option<ItemCode>,
    },
    /// Check a catalogue file: its form, its limits, and whether it may follow the one in force.
    Check {
        /// The file.
        file: PathBuf,
        /// How to reach a node whose catalogue the file is to follow.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: Option<PathBuf>,
    },
    /// Write a catalogue as a file, to standard output.
    Export {
        /// Which catalogue.
        #[command(flatten)]
        of: Of,
    },
}

/// Which catalogue: a file's, the one in force at a node, or else the first one, which this program brings.
#[derive(Debug, Args)]
pub struct Of {
    /// A catalogue file.
    #[arg(long, conflicts_with = "profile")]
    file: Option<PathBuf>,
    /// How to reach a node; its catalogue in force.
    #[arg(long)]
    profile: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(command: CatalogueCommand, as_json: bool) -> Result<()> {
    match command {
        CatalogueCommand::Show { of, item } => {
            let catalogue = of.read().await?;
            match item {
                None if as_json => render::print_json(&json(&catalogue)),
                None => show(&catalogue),
                Some(code) => show_item(&catalogue, &code, as_json)?,
            }
        }
        CatalogueCommand::Check { file, profile } => check(&file, profile, as_json).await?,
        CatalogueCommand::Export { of } => print!("{}", xinqiao_catalogue::text(&of.read().await?)),
    }
    Ok(())
}

impl Of {
    async fn read(&self) -> Result<Catalogue> {
        match (&self.file, &self.profile) {
            (Some(file), _) => from_file(file),
            (None, Some(profile)) => in_force(profile).await,
            (None, None) => Ok(xinqiao_catalogue::first()?),
        }
    }
}

pub(super) fn from_file(file: &Path) -> Result<Catalogue> {
    let text = files::text(file, files::MAX_CONFIG)?;
    xinqiao_catalogue::parse(&text).with_context(|| format!("{} is no catalogue", file.display()))
}

async fn in_force(profile: &Path) -> Result<Catalogue> {
    let answer = Client::open(profile)?
        .state()
        .get_catalogue(wire::GetCatalogueRequest {})
        .await
        .map_err(explain)?;
    let catalogue = answer.into_inner().catalogue;
    let catalogue = catalogue.context("the node gave no catalogue")?;
    Ok(Catalogue::try_from(&catalogue)?)
}

async fn check(file: &Path, profile: Option<PathBuf>, as_json: bool) -> Result<()> {
    let catalogue = from_file(file)?;
    if let Some(profile) = profile {
        let current = in_force(&profile).await?;
        if let Err(unfit) = succession::check(&current, &catalogue) {
            bail!(
                "it may not follow version {}, which is in force: {unfit}",
                current.version
            );
        }
    }
    let fields: usize = catalogue.items.iter().map(|item| item.fields.len()).sum();
    let (version, items) = (catalogue.version, catalogue.items.len());
    if as_json {
        render::print_json(&json!({"version": version, "items": items, "fields": fields}));
    } else {
        println!("version {version}: {items} items with {fields} fields, nothing wrong");
    }
    Ok(())
}

fn shape(shape: Shape) -> String {
    match shape {
        Shape::Record => "record".to_owned(),
        Shape::List { max_entries, .. } => format!("list, up to {max_entries}"),
    }
}

fn sensitivity(item: &xinqiao_ledger::catalogue::item::ItemSchema) -> String {
    format!("{:?}", item.sensitivity).to_lowercase()
}

fn show(catalogue: &Catalogue) {
    println!("catalogue version {}", catalogue.version);
    let mut table = render::table([
        "group",
        "item",
        "name",
        "shape",
        "fields",
        "fresh",
        "kept",
        "sensitivity",
    ]);
    for item in catalogue.in_order() {
        let group = catalogue.group(&item.group);
        table.add_row([
            group.map_or_else(String::new, |group| group.name_zh.to_string()),
            item.code.to_string(),
            format!("{}\n{}", item.name_zh, item.name_en),
            shape(item.shape),
            item.fields.len().to_string(),
            format!("{} days", item.fresh_days),
            format!("{} days", item.keep_days),
            sensitivity(item),
        ]);
    }
    println!("{table}");
}

fn show_item(catalogue: &Catalogue, code: &ItemCode, as_json: bool) -> Result<()> {
    let Some(item) = catalogue.item(code) else {
        bail!("the catalogue has no item {code}");
    };
    if as_json {
        let wire = json(catalogue);
        let items = wire["items"].as_array().into_iter().flatten();
        let mut own = items.filter(|item| item["item"] == code.as_str());
        render::print_json(own.next().unwrap_or(&Value::Null));
        return Ok(());
    }
    println!(
        "{} {} {} ({})",
        item.code,
        item.name_zh,
        item.name_en,
        shape(item.shape)
    );
    let mut table = render::table(["field", "label", "type", "required", "about", "masked"]);
    let mark = |holds: bool| if holds { "✓" } else { "" }.to_owned();
    for field in &item.fields {
        table.add_row([
            field.name.to_string(),
            format!("{}\n{}", field.name_zh, field.name_en),
            field.kind.name().to_owned(),
            mark(field.required),
            mark(item.key.contains(&field.name)),
            mark(field.sensitive),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn json(catalogue: &Catalogue) -> Value {
    let items: Vec<Value> = catalogue
        .in_order()
        .into_iter()
        .map(|item| {
            let fields: Vec<Value> = (item.fields.iter())
                .map(|field| {
                    json!({
                        "name": field.name.as_str(), "name_zh": &*field.name_zh,
                        "name_en": &*field.name_en, "type": field.kind.name(),
                        "required": field.required, "sensitive": field.sensitive,
                    })
                })
                .collect();
            let key: Vec<&str> = item.key.iter().map(|name| name.as_str()).collect();
            json!({
                "item": item.code.as_str(), "name_zh": &*item.name_zh, "name_en": &*item.name_en,
                "group": item.group.as_str(), "shape": shape(item.shape), "key": key,
                "fresh_days": item.fresh_days, "keep_days": item.keep_days,
                "sensitivity": sensitivity(item), "fields": fields,
                "owner": item.owner.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let purposes: Vec<&str> = (catalogue.purposes.iter())
        .map(|purpose| purpose.code.as_str())
        .collect();
    json!({"version": catalogue.version, "items": items, "purposes": purposes})
}
