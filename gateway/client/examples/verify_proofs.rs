//! Checks the proofs of a report without believing the agent: each item's leaf, its path, and that a single changed
//! character is noticed. `verify_proofs USCC PURPOSE`, with the agent's address in `XINQIAO_AGENT`.

use std::env;

use xinqiao_client::{Client, Error, Query};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [uscc, purpose] = &args[..] else {
        return Err("verify_proofs USCC PURPOSE".into());
    };
    let client = Client::new(&env::var("XINQIAO_AGENT")?)?;
    let report = client.query(&Query::new(uscc, purpose, "clerk-7")).await?;

    println!(
        "order {} placed at height {}",
        report.order, report.placed_at_height
    );
    for section in &report.sections {
        let proof = &section.proof;
        section.verify()?; // Error::Broken if the item is not what the source registered
        println!(
            "{} of {}: leaf {} of {}, {} siblings,",
            section.item,
            section.source,
            proof.path.index + 1,
            proof.path.size,
            proof.path.siblings.len(),
        );
        println!(
            "  leads to root {}, registered at height {}",
            proof.root, proof.registered_at_height
        );
    }

    let section = report.sections.first().ok_or("nothing was delivered")?;
    let forged = section.json.replacen(':', " :", 1);
    match section.proof.check(&section.item, &forged) {
        Err(Error::Broken { detail }) => println!("changed by one character: {}", detail.reason),
        other => println!("changed by one character: {other:?}"),
    }
    Ok(())
}
