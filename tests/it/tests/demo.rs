//! The demo as a person sees it: `xinqiao demo` from its start to its end.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use xinqiao_it::process;

/// What the demo must have shown, whatever its layout: outcomes, refusals by their stable codes, the
/// observer's record and the offline check.
const SHOWN: &[&str] = &[
    // outcomes
    "✓ whole",
    "◐ in part",
    "items lead",
    // a changed record is never delivered
    "DIGEST_MISMATCH",
    // refusals
    "CONSENT_NOT_FOUND",
    "CONSENT_WRONG_PURPOSE",
    "CONSENT_ITEM_OUT_OF_SCOPE",
    "CONSENT_EXHAUSTED",
    "CONSENT_REVOKED",
    "NO_SOURCE",
    // evidence
    "✓ proven",
    // its end
    "The whole demo took",
];

#[tokio::test]
async fn the_demo_shows_every_outcome_and_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("consortium");
    let enough = Duration::from_secs(300);
    let printed = process::demo(&dir, &["--enterprises", "60"], enough).await;
    let missing: Vec<_> = SHOWN
        .iter()
        .filter(|text| !printed.contains(*text))
        .collect();
    assert!(
        missing.is_empty(),
        "the demo did not show {missing:?}:\n{printed}"
    );
    assert!(
        !printed.contains("contradicted"),
        "the evidence contradicts itself:\n{printed}"
    );
    let left = process::naming(&dir);
    assert!(left.is_empty(), "the demo left processes behind: {left:?}");
}

#[tokio::test]
async fn a_folder_that_is_in_use_is_never_founded_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    let path = folder.path().to_str().unwrap();
    let output = process::run(&["demo", "--dir", path], Duration::from_secs(30)).await;
    let printed = process::printed(&output);
    assert!(!output.status.success());
    assert!(printed.contains("is not empty"), "{printed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
