//! What the browser pretends to be: a profile in the words of the DevTools protocol.

use serde_json::{Value, json};
use sitepulse_model::vitals::profile::Profile;

/// What a browser says it is when it runs headless; sites turn such visitors away.
const HEADLESS: &str = "HeadlessChrome";
/// The device that a mobile profile without a user agent of its own is: the one that Lighthouse takes.
const MOBILE_MODEL: &str = "moto g power (2022)";
const MOBILE_SYSTEM: &str = "11.0";

/// A call to make, with its parameters.
pub(crate) type Call = (&'static str, Value);

/// Makes a page the device of the profile. `user_agent` and `build` are the browser's own.
pub(crate) fn page(profile: &Profile, user_agent: &str, build: &str) -> Vec<Call> {
    let mut calls = vec![
        (
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": profile.width,
                "height": profile.height,
                "deviceScaleFactor": profile.dpr.get(),
                "mobile": profile.mobile,
                "screenWidth": profile.width,
                "screenHeight": profile.height,
            }),
        ),
        ("Emulation.setTouchEmulationEnabled", touch(profile.touch)),
        // A page in the background paints and counts differently.
        ("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })),
    ];
    calls.extend(every(profile, user_agent, build));
    calls
}

/// Makes a frame or worker of a page, that has a session of its own, part of the same device.
pub(crate) fn every(profile: &Profile, user_agent: &str, build: &str) -> Vec<Call> {
    vec![("Emulation.setUserAgentOverride", agent(profile, user_agent, build))]
}

/// Has the browser slow the processor down itself, which keeps one busy all the while.
pub(crate) fn processor(profile: &Profile) -> Call {
    ("Emulation.setCPUThrottlingRate", json!({ "rate": profile.cpu.get() }))
}

fn touch(enabled: bool) -> Value {
    if enabled { json!({ "enabled": true, "maxTouchPoints": 5 }) } else { json!({ "enabled": false }) }
}

/// The network of the profile, if it has one: the present form of the call, and the one of older browsers.
pub(crate) fn network(profile: &Profile) -> Option<[Call; 2]> {
    let (latency, down, up) = profile.network?.devtools();
    let rule = json!({ "urlPattern": "", "latency": latency, "downloadThroughput": down, "uploadThroughput": up });
    let old = json!({ "offline": false, "latency": latency, "downloadThroughput": down, "uploadThroughput": up });
    Some([
        ("Network.emulateNetworkConditionsByRule", json!({ "offline": false, "matchedNetworkConditions": [rule] })),
        ("Network.emulateNetworkConditions", old),
    ])
}

/// `156` of `HeadlessChrome/156.0.8078.79`.
fn major(build: &str) -> &str {
    let version = build.split_once('/').map_or(build, |(_, version)| version);
    version.split('.').next().unwrap_or_default()
}

/// User agent and client hints. An own user agent that is no Chrome's has no hints: the browsers that say them are Chrome's kin.
fn agent(profile: &Profile, user_agent: &str, build: &str) -> Value {
    let major = major(build);
    let honest = user_agent.replace(HEADLESS, "Chrome");
    let text = match (&profile.user_agent, profile.mobile) {
        (Some(own), _) => own.clone(),
        (None, false) => honest,
        (None, true) => format!(
            "Mozilla/5.0 (Linux; Android 11; {MOBILE_MODEL}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Mobile Safari/537.36"
        ),
    };
    let mut agent = json!({ "userAgent": text });
    if text.contains("Chrome/") {
        let full = build.split_once('/').map_or(build, |(_, version)| version);
        let brands = |version: &str| json!([{ "brand": "Not A(Brand", "version": "99" }, { "brand": "Chromium", "version": version }]);
        let (platform, system, model, architecture) =
            if profile.mobile { ("Android", MOBILE_SYSTEM, MOBILE_MODEL, "") } else { ("Linux", "", "", "x86") };
        agent["userAgentMetadata"] = json!({
            "brands": brands(major),
            "fullVersionList": brands(full),
            "platform": platform,
            "platformVersion": system,
            "architecture": architecture,
            "model": model,
            "mobile": profile.mobile,
        });
    }
    agent
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: &str = "HeadlessChrome/156.0.8078.79";
    const OWN: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36";

    #[test]
    fn no_profile_says_that_it_is_headless() {
        for name in Profile::NAMES {
            let profile = Profile::builtin(name).unwrap();
            let agent = agent(&profile, OWN, BUILD).to_string();
            assert!(!agent.contains("Headless") && agent.contains("Chrome/156.0.0.0"), "{agent}");
            assert_eq!(agent.contains("Android"), profile.mobile, "{agent}");
        }
        let profile = Profile { user_agent: Some("Own/1".to_owned()), ..Profile::builtin("mobile").unwrap() };
        assert_eq!(agent(&profile, OWN, BUILD), json!({ "userAgent": "Own/1" }));
    }

    #[test]
    fn only_a_slower_network_is_slowed_down() {
        let mobile = Profile::builtin("mobile").unwrap();
        let [(_, rule), (_, old)] = network(&mobile).unwrap();
        assert_eq!(rule["matchedNetworkConditions"][0]["latency"], 562.5);
        assert_eq!(old["latency"], 562.5);
        let free = mobile.without_throttling();
        assert!(network(&free).is_none());
    }
}
