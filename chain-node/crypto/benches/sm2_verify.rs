//! SM2 verification on one core: the known-key verifier, the `sm2` crate, and `openssl speed`,
//! in one run. `cargo bench -p xinqiao-crypto --bench sm2_verify`
//!
//! The three take turns, round by round, so that a slow moment of the machine hits all alike; the
//! table shows medians. Ours and the crate's include hashing a message of 300 bytes and
//! parsing the signature; `openssl speed` does not hash, so it is favoured. A correctness test
//! this is not: see the crate's tests.
#![allow(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a benchmark measures time and may panic"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use xinqiao_crypto::merkle::root;
use xinqiao_crypto::{DistinguishingId, KnownKey, SecretKey, Signature, sm3, verify_once};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);
const KEYS: usize = 16;

struct Case {
    key: usize,
    message: Vec<u8>,
    signature: [u8; 64],
}

fn main() {
    let mut rng = StdRng::seed_from_u64(1);
    let id = DistinguishingId::default();
    let keys: Vec<_> = (0..KEYS).map(|_| SecretKey::generate(&mut rng)).collect();
    let cases: Vec<_> = (0..512)
        .map(|number| {
            let key = number % KEYS;
            let message: Vec<u8> = (0..300).map(|i| (i * 7 + number) as u8).collect();
            let signature = keys[key].sign(&id, &message, &mut rng).to_bytes();
            Case {
                key,
                message,
                signature,
            }
        })
        .collect();
    let start = Instant::now();
    let known: Vec<_> = keys
        .iter()
        .map(|key| KnownKey::new(key.public(), &id))
        .collect();
    let preparing = start.elapsed() / KEYS as u32;

    let one_key = |case: &&Case| {
        let signature = Signature::try_from(case.signature.as_slice()).unwrap();
        known[case.key].verify(&case.message, &signature).unwrap();
    };
    let plain = |case: &&Case| {
        let signature = Signature::try_from(case.signature.as_slice()).unwrap();
        verify_once(keys[case.key].public(), &id, &case.message, &signature).unwrap();
    };
    let only_first: Vec<_> = cases.iter().filter(|case| case.key == 0).collect();
    let all: Vec<_> = cases.iter().collect();

    let mut rates: [Vec<f64>; 5] = Default::default();
    for round in 1..=ROUNDS {
        rates[0].push(rate(&only_first, one_key));
        rates[1].push(rate(&all, one_key));
        rates[2].push(rate(&all, plain));
        rates[3].extend(openssl());
        rates[4].push(rate(&all, |case| {
            keys[case.key].sign(&id, &case.message, &mut StdRng::seed_from_u64(2));
        }));
        eprintln!("round {round} of {ROUNDS}");
    }
    let [first, sixteen, plain, openssl, signing] = rates.map(median);
    let many = sixteen.unwrap();
    println!("\nSM2 verification, one core, medians of {ROUNDS} interleaved rounds\n");
    println!("| verifier | verify/s | µs each | known keys (16) are |");
    println!("|---|---:|---:|---:|");
    for (name, value) in [
        ("known key, always the same", first),
        ("known keys, 16 in turn", sixteen),
        ("sm2 crate", plain),
        ("openssl speed sm2", openssl),
    ] {
        match value {
            Some(value) => println!(
                "| {name} | {value:.0} | {:.1} | {:.2}x |",
                1e6 / value,
                many / value
            ),
            None => println!("| {name} | not measured: no openssl with `speed sm2` | | |"),
        }
    }
    println!("\npreparing a key: {:.1} ms", preparing.as_secs_f64() * 1e3);
    println!("signing: {:.0}/s", signing.unwrap());
    digests();
}

fn digests() {
    let data = vec![7; 1 << 20];
    let leaves: Vec<_> = (0..10_000_u32).map(|i| sm3(&i.to_be_bytes())).collect();
    let hashing = median(
        (0..ROUNDS)
            .map(|_| rate(&[()], |()| _ = std::hint::black_box(sm3(&data))))
            .collect(),
    );
    let trees = median(
        (0..ROUNDS)
            .map(|_| rate(&[()], |()| _ = std::hint::black_box(root(&leaves))))
            .collect(),
    );
    println!("SM3: {:.0} MB/s", hashing.unwrap() * 1.048_576);
    println!(
        "Merkle root: {:.2} million leaves/s",
        trees.unwrap() / 100.0
    );
}

/// Runs through the cases for one round; runs a second.
fn rate<T>(cases: &[T], mut run: impl FnMut(&T)) -> f64 {
    let start = Instant::now();
    let mut done = 0_u32;
    while start.elapsed() < ROUND {
        for case in cases {
            run(std::hint::black_box(case));
            done += 1;
        }
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

/// Verifications a second as the last column of `openssl speed` gives them.
fn openssl() -> Option<f64> {
    let run = Command::new("openssl")
        .args(["speed", "-seconds", "2", "sm2"])
        .output()
        .ok()?;
    let text = String::from_utf8(run.stdout).ok()?;
    let line = text.lines().rev().find(|line| line.contains("CurveSM2"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
