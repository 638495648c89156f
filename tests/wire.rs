//! A deploy puts old Workers before new objects and new Workers before old ones, and leaves new objects with what old ones
//! stored. What deployed versions said and stored is recorded in tests/fixtures/wire; the present code must live with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_update,
    missing_docs,
    reason = "a test fails by panicking"
)]

use edgehold::{
    admit::{
        ledger::{Ledger, Stored, Write},
        limit::utc_only,
        wire::{Command, Inspection, KeyRecord, Reply},
    },
    config::policy::Policy,
    model::time::Timestamp,
    settle::row::LedgerRow,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf};

fn recorded(version: &str, file: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire").join(version).join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every version whose Workers or objects may still run somewhere.
fn versions() -> Vec<String> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut versions: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    versions.sort();
    assert!(versions.contains(&"v1".to_owned()), "{versions:?}");
    versions
}

/// Figures that follow the clock: there, and of the same kind, is enough.
const CLOCK: [&str; 5] = ["at", "resets_at", "reset_ms", "retry_after_ms", "outbox_oldest_ms"];

/// What is missing or different in `new` of all that `old` says. More may be said: unknown members are ignored.
fn missing(old: &Value, new: &Value, place: &str, problems: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                let place = format!("{place}.{name}");
                match new.get(name) {
                    // A member that is null and one that is absent are the same to a reader.
                    None if value.is_null() => {}
                    None => problems.push(format!("{place} is gone")),
                    Some(there) if CLOCK.contains(&name.as_str()) => {
                        if value.is_number() != there.is_number() || value.is_string() != there.is_string() {
                            problems.push(format!("{place} was {value}, is {there}"));
                        }
                    }
                    Some(there) => missing(value, there, &place, problems),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                missing(old, new, &format!("{place}[{index}]"), problems);
            }
        }
        _ if old == new => {}
        _ => problems.push(format!("{place} was {old}, is {new}")),
    }
}

fn none_missing(old: &Value, new: &Value, place: &str) {
    let mut problems = Vec::new();
    missing(old, new, place, &mut problems);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The object around the ledger: what is stored, and D1.
#[derive(Default)]
struct Object {
    ledger: Ledger,
    entries: BTreeMap<u64, (bool, String)>,
    drained: Vec<LedgerRow>,
}

impl Object {
    fn run(&mut self, now: Timestamp, command: Command) -> Reply {
        let effect = self.ledger.apply(now, command);
        self.keep(effect.writes);
        effect.reply
    }

    fn keep(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Entry { number, settled, body } => {
                    self.entries.insert(number, (settled, body));
                }
                Write::DropEntries { numbers } => {
                    self.entries.retain(|number, _| !numbers.contains(number));
                }
                _ => {}
            }
        }
    }

    /// Everything settled goes to D1.
    fn drain(&mut self, now: Timestamp) {
        let batch: Vec<(u64, String)> = self
            .entries
            .iter()
            .filter(|(_, (settled, _))| *settled)
            .map(|(number, (_, body))| (*number, body.clone()))
            .collect();
        for (_, body) in &batch {
            let entry: Value = serde_json::from_str(body).unwrap();
            self.drained.extend(serde_json::from_value::<Vec<LedgerRow>>(entry["rows"].clone()).unwrap());
        }
        let effect = self.ledger.drained(now, &batch, false);
        self.keep(effect.writes);
    }

    fn inspect(&mut self, now: Timestamp) -> Inspection {
        match self.run(now, Command::Inspect) {
            Reply::Inspection(inspection) => inspection,
            other => panic!("{other:?}"),
        }
    }
}

/// Which command, which reply: the operation's name.
fn name(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Object(members) => members.keys().next().unwrap().clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn old_workers_get_the_answers_they_know_from_a_new_object() {
    for version in versions() {
        let said = recorded(&version, "said.json");
        let mut object = Object::default();
        let mut seen = BTreeMap::<String, usize>::new();
        for (index, one) in said.as_array().unwrap().iter().enumerate() {
            let now = Timestamp(one["at_ms"].as_i64().unwrap());
            let (asked, told) = (&one["command"], &one["reply"]);
            *seen.entry(format!("{} → {}", name(asked), name(told))).or_default() += 1;
            let command: Command = serde_json::from_value(asked.clone())
                .unwrap_or_else(|error| panic!("{version}: command {index} {asked}: {error}"));
            // Where rows went to D1, the recording object had fewer of its own; what it still knew depends on that moment.
            if matches!(name(asked).as_str(), "find" | "inspect") {
                continue;
            }
            let reply = serde_json::to_value(object.run(now, command)).unwrap();
            none_missing(told, &reply, &format!("{version}: reply {index} to {}", name(asked)));
        }
        for pair in ["hold → held", "hold → refused", "settle → settled", "lookup → key", "describe → limits"]
        {
            assert!(seen.contains_key(pair), "{version} has no {pair}: {seen:?}");
        }
    }
}

#[test]
fn new_workers_read_what_old_objects_say() {
    for version in versions() {
        let said = recorded(&version, "said.json");
        let mut kinds = Vec::new();
        for (index, one) in said.as_array().unwrap().iter().enumerate() {
            let told = &one["reply"];
            let reply: Reply = serde_json::from_value(told.clone())
                .unwrap_or_else(|error| panic!("{version}: reply {index} {told}: {error}"));
            // Nothing of it is dropped or read as something else.
            none_missing(told, &serde_json::to_value(&reply).unwrap(), &format!("{version}: reply {index}"));
            kinds.push(name(told));
            if let Reply::Refused(_) = reply {
                kinds.push(name(&told["refused"]));
            }
        }
        for kind in
            ["held", "budget", "rate", "unpriced", "blocked", "expired", "absent", "found", "inspection"]
        {
            assert!(kinds.iter().any(|one| one == kind), "{version} has no {kind}");
        }
    }
}

#[test]
fn an_old_object_that_does_not_know_a_command_says_so_and_a_new_worker_reads_it() {
    // What the first version answers to a command it cannot read (src/edge/object.rs).
    let told = json!({"failed": {"message": "unknown variant `from_the_future`"}});
    assert!(matches!(serde_json::from_value(told).unwrap(), Reply::Failed { .. }));
    assert!(serde_json::from_value::<Command>(json!({"from_the_future": {}})).is_err());
}

#[test]
fn what_old_objects_stored_is_loaded_to_the_same_figures_and_ends_in_the_same_rows() {
    for version in versions() {
        let tables = recorded(&version, "stored.json");
        let rows = |table: &str| tables[table].as_array().unwrap().clone();
        let entries: Vec<(u64, bool, String)> = rows("entry")
            .iter()
            .map(|row| (row["number"].as_u64().unwrap(), row["settled"] == 1, row["body"].to_string()))
            .collect();
        let stored = Stored {
            nodes: rows("node").iter().map(|row| row["body"].to_string()).collect(),
            bases: rows("base")
                .iter()
                .map(|row| (row["id"].as_str().unwrap().to_owned(), row["body"].to_string()))
                .collect(),
            keys: rows("key").iter().map(|row| row["body"].to_string()).collect(),
            entries: entries.clone(),
            ..Stored::default()
        };
        let said = recorded(&version, "said.json");
        let last = said.as_array().unwrap().last().unwrap();
        assert_eq!(last["command"], "inspect");
        let now = Timestamp(last["at_ms"].as_i64().unwrap());
        let ledger = Ledger::load(&stored, now, utc_only).unwrap();
        let mut object = Object {
            ledger,
            entries: entries
                .iter()
                .map(|(number, settled, body)| (*number, (*settled, body.clone())))
                .collect(),
            ..Object::default()
        };
        let inspection = object.inspect(now);
        let mut told = last["reply"]["inspection"].clone();
        // The reason why the last drain failed is not stored.
        told.as_object_mut().unwrap().remove("last_drain_error");
        // Of a route's requests the minute is counted, but its limits come with each request: nothing to be shown before.
        told["limits"].as_array_mut().unwrap().retain(|limit| limit["level"] != "route");
        none_missing(&told, &serde_json::to_value(&inspection).unwrap(), &format!("{version}: inspection"));
        assert!(inspection.held > 0 && inspection.outbox > 0 && inspection.spent_total_nanousd.0 > 0);

        // Settled before the deploy: drained after it, to the rows they were.
        object.drain(now);
        let settled = |entry: &&(u64, bool, String)| entry.1;
        let expected: Vec<LedgerRow> = entries
            .iter()
            .filter(settled)
            .flat_map(|(_, _, body)| {
                let entry: Value = serde_json::from_str(body).unwrap();
                serde_json::from_value::<Vec<LedgerRow>>(entry["rows"].clone()).unwrap()
            })
            .collect();
        assert_eq!(object.drained, expected);

        // Held before the deploy: expires after it into one row, at its bound.
        let (_, _, held) = entries.iter().find(|(_, settled, _)| !settled).unwrap();
        let held: Value = serde_json::from_str(held).unwrap();
        let late = Timestamp(held["expires_at"].as_i64().unwrap() + 1);
        let effect = object.ledger.expire(late);
        object.keep(effect.writes);
        object.drained.clear();
        object.drain(late);
        let ends: Vec<Value> = object.drained.iter().map(|row| serde_json::to_value(row).unwrap()).collect();
        assert_eq!(ends.len(), 1, "{ends:?}");
        assert_eq!(ends[0]["request_id"], held["ticket"]);
        assert_eq!(ends[0]["outcome"], "unsettled");
        assert_eq!(ends[0]["cost_nanousd"], held["bound"]);
        let after = object.inspect(late);
        assert_eq!((after.held, after.outbox), (0, 0));
        assert_eq!(
            after.spent_total_nanousd.0,
            inspection.spent_total_nanousd.0 + held["bound"].as_i64().unwrap()
        );
    }
}

#[test]
fn what_old_workers_left_in_kv_and_d1_is_read() {
    for version in versions() {
        let kv = recorded(&version, "kv.json");
        for (key, value) in kv.as_object().unwrap() {
            let place = format!("{version}: KV {key}");
            if key == "policy" {
                let policy: Policy = serde_json::from_value(value.clone()).unwrap();
                none_missing(value, &serde_json::to_value(&policy).unwrap(), &place);
            } else {
                let record: KeyRecord = serde_json::from_value(value.clone()).unwrap();
                assert_eq!(key, &format!("key:{}", record.digest.0));
                none_missing(value, &serde_json::to_value(&record).unwrap(), &place);
            }
        }
        assert!(kv.get("policy").is_some() && kv.as_object().unwrap().len() > 2);
        // D1 has no booleans.
        for row in recorded(&version, "d1.json").as_array().unwrap() {
            let mut row = row.clone();
            for flag in ["streamed", "usage_estimated"] {
                row[flag] = json!(row[flag] == 1);
            }
            let read: LedgerRow = serde_json::from_value(row.clone()).unwrap();
            assert_eq!(read.request_id, row["request_id"].as_str().unwrap());
            assert_eq!(read.cost_nanousd.0, row["cost_nanousd"].as_i64().unwrap());
        }
    }
}
