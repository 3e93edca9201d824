//! Asks for one enterprise's report, prints it, and checks for itself what the sources delivered:
//! `first_query USCC PURPOSE`, with the agent's address in `XINQIAO_AGENT`.

use std::env;

use xinqiao_client::{Client, Query};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [uscc, purpose] = &args[..] else {
        return Err("first_query USCC PURPOSE".into());
    };
    let client = Client::new(&env::var("XINQIAO_AGENT")?)?;
    let report = client.query(&Query::new(uscc, purpose, "clerk-7")).await?;

    for item in &report.items {
        println!("{} {}: {:?}", item.name_zh, item.name_en, item.extent);
        for at in &item.sections {
            let section = &report.sections[*at]; // one a source; none is preferred
            println!("  {}: {}", section.source_name, section.content()?);
        }
        for conflict in &item.conflicts {
            for (at, json) in &conflict.values {
                let source = &report.sections[*at].source_name;
                println!("  ! {}: {source} {json}", conflict.field);
            }
        }
    }
    for part in &report.parts {
        let reason = part.reason.as_deref().unwrap_or("");
        println!("{}: {:?} {reason}", part.source_name, part.status);
    }

    let sections = report.verify()?;
    println!("{sections} sections lead to the roots that their sources registered");
    Ok(())
}
