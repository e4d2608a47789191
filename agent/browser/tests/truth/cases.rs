//! What each page is known to be.

use futures_util::future::BoxFuture;
use sitepulse_model::vitals::report::Ended;

use super::Lab;

type Case = for<'a> fn(&'a Lab) -> BoxFuture<'a, ()>;

macro_rules! cases {
    ($($name:ident($lab:ident) $body:block)+) => {
        /// All of them.
        pub(crate) const ALL: &[(&str, Case)] = &[$((stringify!($name), |lab| Box::pin($name(lab)))),+];

        $(async fn $name($lab: &Lab) $body)+
    };
}

const MS: u64 = 1_000;

cases! {
    text(lab) {
        let loaded = lab.good(&lab.job("/text")).await;
        let values = loaded.load.values;
        let lcp = loaded.attribution.lcp.as_ref().unwrap();
        assert_eq!(lcp.element, "html > body > h1");
        assert!(values.lcp >= values.fcp && values.fcp >= values.ttfb && values.ttfb > Some(0), "{values:?}");
        assert_eq!((values.cls, values.inp, loaded.load.ended), (Some(0), None, Ended::Quiet));
        println!("{loaded:#?}");
    }
}
