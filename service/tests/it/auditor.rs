//! The auditor against a provider whose books differ from ours.

use crate::{
    fixture::{submission, with_service},
    stub::Act,
};

#[test]
fn orphans_are_reported_once_and_left_alone() {
    with_service(
        |_| {},
        async |service| {
            service.stub.plant("stranger", "ref-1");
            // More rows than a page, so that pages are merged.
            for name in ["a", "m", "n", "z"] {
                service.submit(submission(name)).await;
                service.until_state(name, "confirmed").await;
            }
            service
                .until("two sweeps have seen it", async || {
                    let findings = service.dump().await.findings;
                    findings.first().is_some_and(|it| it.sightings >= 3)
                })
                .await;
            let findings = service.dump().await.findings;
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].kind.as_str(), "orphan_at_provider");
            assert_eq!(service.log().matches("\"audit_finding\"").count(), 1);
            assert_eq!(service.stub.live("stranger"), 1);
        },
    );
}

#[test]
fn a_refused_booking_that_exists_after_all_is_proved() {
    with_service(
        |_| {},
        async |service| {
            service.stub.script(&[Act::Status(422)]);
            service.submit(submission("a-1")).await;
            service.until_state("a-1", "failed").await;
            service.stub.plant("a-1", "ref-proof");
            let row = service.until_state("a-1", "confirmed").await;
            assert_eq!(row["provider_reference"], "ref-proof");
            assert!(service.events("r-a-1").contains(&"audit_repair"));
            service
                .until("the finding is resolved", async || {
                    let findings = service.dump().await.findings;
                    findings[0].resolved_by.as_deref() == Some("repair")
                        && findings[0].resolved_at.is_some()
                })
                .await;
        },
    );
}

#[test]
fn agreement_is_silent() {
    with_service(
        |_| {},
        async |service| {
            service.submit(submission("a-1")).await;
            service.until_state("a-1", "confirmed").await;
            let whole = || service.log().matches("\"complete\"").count();
            let before = whole();
            service
                .until("sweeps go on beyond the horizon", async || {
                    whole() > before + 8
                })
                .await;
            assert_eq!(service.dump().await.findings, []);
            assert!(!service.log().contains("audit_finding"));
        },
    );
}
