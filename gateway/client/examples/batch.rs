//! Asks for many enterprises as one job, takes the results as they come, and goes on where it was if it is started
//! again: `batch JOB PURPOSE USCC…`, with the agent's address in `XINQIAO_AGENT`.

use std::env;

use xinqiao_client::{Client, JobEvent, JobOutcome, JobRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [id, purpose, codes @ ..] = &args[..] else {
        return Err("batch JOB PURPOSE USCC…".into());
    };
    let client = Client::new(&env::var("XINQIAO_AGENT")?)?;
    // The same id and content again is the same job: nothing is ordered twice.
    let request = JobRequest::new(codes, purpose, "clerk-7").id(id);
    let job = client.start_job(&request).await?;
    let mut results = client.follow_job(id, job.acknowledged);
    while let Some(event) = results.next().await? {
        let result = match event {
            JobEvent::Progress(job) => {
                println!(
                    "{} of {}: {:?}",
                    job.counts.done, job.counts.entries, job.state
                );
                continue;
            }
            JobEvent::Result(result) => result,
        };
        match &result.outcome {
            JobOutcome::Report(Some(report)) => {
                let (sections, whole) = (report.verify()?, report.is_complete());
                println!("{}: {sections} sections, whole: {whole}", result.uscc);
            }
            other => println!("{}: {other:?}", result.uscc),
        }
        // Keep the result for good before this: the agent deletes its report.
        client.acknowledge_job(id, result.sequence).await?;
    }
    Ok(())
}
