//! Processor time of a browser that tells it of each process that runs, as one figure that only grows.
//!
//! A process that ended is told of no more: what it was last seen to have taken stays in the sum. What it took after that is lost, so a browser with loads is asked
//! once a second.

use std::collections::BTreeMap;

use serde_json::Value;

/// What was seen so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Spent {
    /// Of processes that are gone, and of those before them with their number, in seconds.
    ended: f64,
    /// Of those that ran when last asked, by their number.
    running: BTreeMap<i64, f64>,
}

impl Spent {
    /// Takes an answer to `SystemInfo.getProcessInfo` and returns the sum in microseconds; `None` where the answer is none.
    pub(crate) fn take(&mut self, told: &Value) -> Option<u64> {
        let processes = told["processInfo"].as_array()?;
        let mut before = std::mem::take(&mut self.running);
        for process in processes {
            let (Some(id), Some(seconds)) = (process["id"].as_i64(), process["cpuTime"].as_f64()) else { continue };
            match before.remove(&id) {
                // Another process got its number.
                Some(last) if last > seconds => self.ended += last,
                Some(_) | None => {}
            }
            self.running.insert(id, seconds);
        }
        self.ended += before.values().sum::<f64>();
        Some(((self.ended + self.running.values().sum::<f64>()) * 1e6).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(processes: &[(i64, f64)]) -> Value {
        let all: Vec<Value> = processes.iter().map(|(id, time)| json!({ "id": id, "cpuTime": time })).collect();
        json!({ "processInfo": all })
    }

    #[test]
    fn what_ended_processes_took_stays_in_the_sum() {
        let mut spent = Spent::default();
        assert_eq!(spent.take(&told(&[(1, 2.0), (2, 1.0)])), Some(3_000_000));
        assert_eq!(spent.take(&told(&[(1, 2.5), (3, 0.5)])), Some(4_000_000), "1 s of the second process stays");
        assert_eq!(spent.take(&told(&[(1, 2.5), (3, 0.25)])), Some(4_250_000), "another process with its number");
        assert_eq!(spent.take(&json!({})), None);
        assert_eq!(spent.take(&told(&[])), Some(4_250_000));
    }
}
