//! A picture of a page that failed: JPEG, small enough to travel with a result.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::session::Session;

/// Largest picture, in bytes.
const BYTES_MAX: usize = 70_000;
/// JPEG quality and scale: the first that is small enough is kept.
const TRIES: [(u32, f64); 4] = [(60, 1.0), (45, 0.7), (30, 0.45), (20, 0.25)];

/// What the page looks like now; `None` where it does not show within the time, or is too large whatever is done.
pub(crate) async fn take(session: &mut Session, width: u32, height: u32, within_us: u64) -> Option<Vec<u8>> {
    let begun = sitepulse_daemon::clock::monotonic();
    for (quality, scale) in TRIES {
        let left = within_us.saturating_sub(sitepulse_daemon::clock::monotonic().us_since(begun));
        let params = json!({
            "format": "jpeg",
            "quality": quality,
            "clip": { "x": 0, "y": 0, "width": width, "height": height, "scale": scale },
        });
        let answer = session.call_last(left, "Page.captureScreenshot", params).await?;
        let picture = STANDARD.decode(answer["data"].as_str()?).ok()?;
        if (1..=BYTES_MAX).contains(&picture.len()) {
            return Some(picture);
        }
    }
    None
}
