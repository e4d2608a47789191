//! Pages slowed down by rest: who rests, for how long, and who never does.

use super::*;

async fn slowed(lease: &Lease) -> (crate::throttle::Throttled, Vec<Member>) {
    let session = page(lease, HANGS).await;
    hung(lease, &session).await;
    let throttled = lease.process.slow_down(SLOWEST).await.expect("renderers that may be stopped");
    let renderers: Vec<Member> = lease.process.look().into_iter().filter(|member| member.renderer).collect();
    (throttled, renderers)
}

#[tokio::test]
async fn a_page_rests_until_it_is_no_longer_wanted_and_its_end_takes_no_longer() {
    for form in FORMS {
        let base = base();
        let browser = browser(&form, base.path());
        let lease = lease(&browser).await;
        let (throttled, renderers) = slowed(&lease).await;
        for _ in 0..20 {
            until("it rests", || resting(&renderers)).await;
            until("it works", || !resting(&renderers)).await;
        }
        // Of two loads at once the last one ends it.
        let another = lease.process.slow_down(SLOWEST).await.expect("the same again");
        drop(throttled);
        until("it rests", || resting(&renderers)).await;
        drop(another);
        until("it works", || !resting(&renderers)).await;
        for _ in 0..100 {
            assert!(!resting(&renderers), "{form:?}: it is held back for ever");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // While it rests, too, its page is freed.
        let throttled = lease.process.slow_down(SLOWEST).await.expect("the same again");
        until("it rests", || resting(&renderers)).await;
        lease.end().await;
        all_gone(&renderers).await;
        drop(throttled);
        browser.close().await;
    }
}

#[tokio::test]
async fn renderers_outside_of_the_sandbox_are_never_stopped() {
    // Nothing would end them if they were stopped when the agent is killed.
    let base = base();
    let dir = Some(base.path().to_owned());
    let browser = browser_with(Options { form: Form::HeadlessShell, dir, sandbox: false, ..Options::default() });
    let lease = lease(&browser).await;
    page(&lease, "x").await;
    until("a renderer is there", || !renderers(&lease.process).is_empty()).await;
    assert!(lease.process.slow_down(SLOWEST).await.is_none());
    assert!(!lease.process.rests());
    lease.end().await;
    browser.close().await;
}
