//! Watches a portfolio: `watch HEIGHT USCC…` tells of what sources change above that height (0: from now on), and ends
//! with the first change. The agent's address is in `XINQIAO_AGENT`.

use std::env;

use xinqiao_client::{Client, Watch};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [height, codes @ ..] = &args[..] else {
        return Err("watch HEIGHT USCC…".into());
    };
    let client = Client::new(&env::var("XINQIAO_AGENT")?)?;
    let mut watched = client.watch(Watch {
        usccs: codes.to_vec(),
        user: "clerk-7".to_owned(),
        after_height: height.parse()?,
    });
    loop {
        let message = watched.next().await?;
        for place in message.without_grant {
            println!("{}: no live grant now", codes[place]);
        }
        for change in &message.changes {
            println!(
                "{}: {} {:?} version {}",
                change.uscc, change.source_name, change.what, change.version
            );
        }
        if let Some(height) = message.through_height {
            println!("told through height {height}"); // keep it: what to go on after
        }
        if !message.changes.is_empty() {
            return Ok(());
        }
    }
}
