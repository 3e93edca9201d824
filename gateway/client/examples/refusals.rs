//! Makes calls that bring nothing, and does with each what its class asks for: `refusals PURPOSE USCC…`, with the
//! agent's address in `XINQIAO_AGENT`.

use std::{env, time::Duration};

use xinqiao_client::{Client, Error, Query};

async fn ask(client: &Client, query: Query) {
    let error = match client.query(&query).await {
        Ok(report) => return println!("answered with {} sections", report.sections.len()),
        Err(error) => error,
    };
    let class = error.class();
    match error {
        // Not again before that has changed: consent, a permission, the state of something.
        Error::Refused { detail, .. } => {
            println!("{class}: {} {}", detail.reason, detail.chinese);
            let where_it_is = match detail.facts.get("tx_id") {
                Some(tx) => format!("on the ledger as {tx}"),
                None => "recorded by the gateway".to_owned(),
            };
            println!("  {where_it_is}, explained in {}", detail.help);
        }
        // A fault of ours: which fields, and by which rule.
        Error::BadInput { fields, detail } => {
            println!("{class}: {}", detail.reason);
            for wrong in fields {
                println!("  {}: {}", wrong.field, wrong.rule);
            }
        }
        // What was repeated in vain until the deadline.
        Error::TryLater { after, detail } => {
            println!("{class}: {}, again after {after:?}", detail.reason);
        }
        // Use nothing of it.
        Error::Broken { detail } => println!("{class}: {}; tell the regulator", detail.reason),
        // The same request_id again, later.
        other => println!("{class}: {}", other.reason()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [purpose, codes @ ..] = &args[..] else {
        return Err("refusals PURPOSE USCC…".into());
    };
    let client = Client::new(&env::var("XINQIAO_AGENT")?)?;
    for code in codes {
        ask(&client, Query::new(code, purpose, "clerk-7")).await;
    }
    let first = codes.first().ok_or("no code")?;
    ask(&client, Query::new(first, "curiosity", "clerk-7")).await;
    ask(&client, Query::new(first, purpose, "")).await;

    // Where no agent listens.
    let nobody = Client::new("http://127.0.0.1:1")?.patience(Duration::from_millis(500));
    if let Err(error) = nobody.catalogue().await {
        println!(
            "{}: {} {}",
            error.class(),
            error.reason(),
            error.detail().chinese
        );
    }
    Ok(())
}
