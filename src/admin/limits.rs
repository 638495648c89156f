//! Limits in admin requests and answers: `budget_usd`, `rate_limit`, `limits`, and `each_user` with the three of them.
//! Every error names its member: `each_user.limits[2].window`.

use crate::{
    admit::wire::{Limit, Limits, Unit, Window},
    config::policy::Pattern,
    model::money::NanoUsd,
    refusal::Refusal,
};
use serde_json::{Map, Value, json};

/// More limits a node cannot have beside the five with names.
const LIMITS_MAX: usize = 50;
const MODELS_MAX: usize = 50;
const PATTERN_BYTES_MAX: usize = 256;
const THRESHOLDS_MAX: usize = 10;
/// JavaScript's numbers are exact up to here.
const AMOUNT_MAX: u64 = 1 << 53;

const UNITS: [Unit; 6] =
    [Unit::Usd, Unit::Requests, Unit::Tokens, Unit::InputTokens, Unit::OutputTokens, Unit::Concurrent];

/// Whether a time zone is known.
pub(super) type KnowsZone<'a> = &'a dyn Fn(&str) -> bool;

type Members = Map<String, Value>;

pub(super) fn wrong(name: &str, expected: &str) -> Refusal {
    Refusal::bad_param("invalid_value", name, format!("Invalid '{name}': expected {expected}."))
}

/// Takes the three members out of `members`; each replaces the whole of what was set.
pub(super) fn read(
    members: &mut Members,
    at: &str,
    limits: &mut Limits,
    zones: KnowsZone<'_>,
) -> Result<(), Refusal> {
    let name = format!("{at}budget_usd");
    let expected = "an object such as {\"day\": 5, \"month\": 100, \"total\": 1000}";
    if let Some(mut budget) = object(members.remove("budget_usd"), &name, expected)? {
        let mut of = |span| dollars(budget.remove(span), &format!("{name}.{span}"));
        (limits.day, limits.month, limits.total) = (of("day")?, of("month")?, of("total")?);
        only(&budget, &name, "day, month, total")?;
    }
    let name = format!("{at}rate_limit");
    let expected = "an object such as {\"rpm\": 60, \"tpm\": 100000}";
    if let Some(mut rate) = object(members.remove("rate_limit"), &name, expected)? {
        let mut of = |count| match rate.remove(count) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|count| *count > 0) {
                None => Err(wrong(&format!("{name}.{count}"), "a positive whole number per minute")),
                some => Ok(some),
            },
        };
        (limits.rpm, limits.tpm) = (of("rpm")?, of("tpm")?);
        only(&rate, &name, "rpm, tpm")?;
    }
    let name = format!("{at}limits");
    match members.remove("limits") {
        None => {}
        Some(Value::Null) => limits.more = Vec::new(),
        Some(Value::Array(items)) if items.len() <= LIMITS_MAX => limits.more = list(items, &name, zones)?,
        Some(_) => return Err(wrong(&name, &format!("a list of at most {LIMITS_MAX} limits"))),
    }
    Ok(())
}

/// `each_user`: replaces the whole of what was set; nothing in it clears.
pub(super) fn read_each_user(
    members: &mut Members,
    zones: KnowsZone<'_>,
) -> Result<Option<Option<Limits>>, Refusal> {
    let expected = "an object with budget_usd, rate_limit and limits";
    let Some(mut inner) = object(members.remove("each_user"), "each_user", expected)? else {
        return Ok(None);
    };
    let mut limits = Limits::default();
    read(&mut inner, "each_user.", &mut limits, zones)?;
    only(&inner, "each_user", "budget_usd, rate_limit, limits")?;
    Ok(Some(Some(limits).filter(|limits| !limits.is_empty())))
}

fn object(value: Option<Value>, name: &str, expected: &str) -> Result<Option<Members>, Refusal> {
    match value {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Map::new())),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(wrong(name, expected)),
    }
}

fn only(rest: &Members, inside: &str, known: &str) -> Result<(), Refusal> {
    match rest.keys().next() {
        None => Ok(()),
        Some(name) => Err(Refusal::bad_param(
            "unknown_parameter",
            &format!("{inside}.{name}"),
            format!("Unknown member '{name}' in {inside}. Known: {known}."),
        )),
    }
}

fn dollars(value: Option<Value>, name: &str) -> Result<Option<NanoUsd>, Refusal> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text,
        Some(_) => String::new(),
    };
    NanoUsd::parse_usd(&text).map(Some).ok_or_else(|| {
        wrong(name, "dollars of at least 0 with at most nine decimals, such as 12.5 or \"0.000000001\"")
    })
}

fn list(items: Vec<Value>, name: &str, zones: KnowsZone<'_>) -> Result<Vec<Limit>, Refusal> {
    let mut limits: Vec<Limit> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let name = format!("{name}[{index}]");
        let Value::Object(members) = item else {
            return Err(wrong(
                &name,
                "an object such as {\"unit\": \"requests\", \"amount\": 60, \"window\": \"60s\"}",
            ));
        };
        let limit = one(members, &name, zones)?;
        // Two amounts for the same would share a counter, and their events a name.
        let twin = limits.iter().position(|other| {
            (other.unit, &other.window, &other.models) == (limit.unit, &limit.window, &limit.models)
        });
        if let Some(twin) = twin {
            let other = name.replace(&format!("[{index}]"), &format!("[{twin}]"));
            return Err(wrong(&name, &format!("another unit, window or models than {other} has")));
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn one(mut members: Members, name: &str, zones: KnowsZone<'_>) -> Result<Limit, Refusal> {
    let mut take = |member: &str| members.remove(member).filter(|value| !value.is_null());
    let at = |member: &str| format!("{name}.{member}");
    let unit = take("unit");
    let unit = UNITS.into_iter().find(|known| unit.as_ref().and_then(Value::as_str) == Some(known.word()));
    let unit = unit.ok_or_else(|| {
        let words = UNITS.map(Unit::word).join(", ");
        wrong(&at("unit"), &format!("one of {words}"))
    })?;
    let amount = amount(take("amount"), unit, &at("amount"))?;
    let window = window(take("window"), take("time_zone"), unit, name, zones)?;
    let burst = take("burst").map(|value| burst(&value, unit, amount, &window, &at("burst"))).transpose()?;
    let models = take("models").map(|value| models(value, &at("models"))).transpose()?;
    let warn_at = thresholds(take("warn_at_percent"), unit, &at("warn_at_percent"))?;
    only(&members, name, "unit, amount, window, time_zone, burst, models, warn_at_percent")?;
    Ok(Limit { unit, amount, window, burst, models, warn_at })
}

fn amount(value: Option<Value>, unit: Unit, name: &str) -> Result<i64, Refusal> {
    if unit == Unit::Usd {
        let missing = || wrong(name, "dollars such as 12.5 or \"12.5\"");
        return dollars(value, name)?.map(|amount| amount.0).ok_or_else(missing);
    }
    let count = match &value {
        Some(Value::String(text)) => text.parse::<u64>().ok(),
        other => other.as_ref().and_then(Value::as_u64),
    };
    count
        .filter(|count| (1..=AMOUNT_MAX).contains(count))
        .and_then(|count| i64::try_from(count).ok())
        .ok_or_else(|| wrong(name, "a positive whole number"))
}

fn window(
    text: Option<Value>,
    zone: Option<Value>,
    unit: Unit,
    name: &str,
    zones: KnowsZone<'_>,
) -> Result<Window, Refusal> {
    let (at_window, at_zone) = (format!("{name}.window"), format!("{name}.time_zone"));
    if unit == Unit::Concurrent {
        return match (text, zone) {
            (None, None) => Ok(Window::Total),
            (Some(_), _) => Err(wrong(&at_window, "none: what is counted is requests under way")),
            (None, Some(_)) => Err(wrong(&at_zone, "none: what is counted is requests under way")),
        };
    }
    let text = text.as_ref().and_then(Value::as_str).unwrap_or_default();
    let window = text.parse::<Window>().map_err(|expected| wrong(&at_window, expected))?;
    const EXPECTED: &str = "a time zone of the IANA database, such as Europe/Berlin";
    let (window, at) = match zone {
        None => (window, at_window),
        Some(zone) => {
            if !matches!(window, Window::Calendar(_, None)) || text.contains('@') {
                return Err(wrong(
                    &at_zone,
                    "none: only calendar windows (minute, hour, day, week, month) have one, and only once",
                ));
            }
            let zone = zone.as_str().unwrap_or_default();
            let with_zone = format!("{text}@{zone}").parse::<Window>();
            (with_zone.map_err(|_| wrong(&at_zone, EXPECTED))?, at_zone)
        }
    };
    match &window {
        Window::Calendar(_, Some(zone)) if !zones(zone) => {
            Err(wrong(&at, &format!("{EXPECTED}; '{zone}' is not known")))
        }
        _ => Ok(window),
    }
}

fn burst(value: &Value, unit: Unit, amount: i64, window: &Window, name: &str) -> Result<i64, Refusal> {
    if unit == Unit::Usd || !matches!(window, Window::Rolling(_)) {
        return Err(wrong(
            name,
            "none: only requests and tokens in a rolling window (such as 60s) have a burst",
        ));
    }
    value
        .as_i64()
        .filter(|burst| (1..=amount).contains(burst))
        .ok_or_else(|| wrong(name, "a whole number from 1 to the amount"))
}

fn models(value: Value, name: &str) -> Result<Pattern, Refusal> {
    let expected = || {
        wrong(
            name,
            &format!(
                "a list of 1 to {MODELS_MAX} model names, each of which may hold *, without commas or control characters"
            ),
        )
    };
    let fits = |text: &str| {
        (1..=PATTERN_BYTES_MAX).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c == ',')
    };
    let Value::Array(items) = value else { return Err(expected()) };
    if !(1..=MODELS_MAX).contains(&items.len()) {
        return Err(expected());
    }
    let texts = items.iter().map(|item| item.as_str().filter(|text| fits(text)).map(str::to_owned));
    texts.collect::<Option<Vec<_>>>().map(Pattern).ok_or_else(expected)
}

fn thresholds(value: Option<Value>, unit: Unit, name: &str) -> Result<Vec<u8>, Refusal> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let expected = || wrong(name, &format!("a list of at most {THRESHOLDS_MAX} whole numbers from 1 to 100"));
    let items = value.as_array().filter(|items| items.len() <= THRESHOLDS_MAX).ok_or_else(expected)?;
    if unit == Unit::Concurrent && !items.is_empty() {
        return Err(wrong(name, "none: requests under way have no thresholds"));
    }
    let percent =
        |item: &Value| item.as_u64().filter(|n| (1..=100).contains(n)).and_then(|n| u8::try_from(n).ok());
    let mut percents = items.iter().map(percent).collect::<Option<Vec<u8>>>().ok_or_else(expected)?;
    percents.sort_unstable();
    percents.dedup();
    Ok(percents)
}

/// Limits as the API shows them, which is how it would take them.
pub(super) fn shown(limits: &Limits) -> Members {
    let dollars = |amount: Option<NanoUsd>| amount.map(|amount| amount.to_string());
    let more: Vec<Value> = limits.more.iter().map(shown_one).collect();
    let mut shown = Map::new();
    shown.insert(
        "budget_usd".to_owned(),
        json!({"day": dollars(limits.day), "month": dollars(limits.month), "total": dollars(limits.total)}),
    );
    shown.insert("rate_limit".to_owned(), json!({"rpm": limits.rpm, "tpm": limits.tpm}));
    shown.insert("limits".to_owned(), json!(more));
    shown
}

fn shown_one(limit: &Limit) -> Value {
    json!({
        "unit": limit.unit,
        "amount": if limit.unit == Unit::Usd { json!(NanoUsd(limit.amount).to_string()) } else { json!(limit.amount) },
        "window": (limit.unit != Unit::Concurrent).then_some(&limit.window),
        "burst": limit.burst, "models": limit.models, "warn_at_percent": limit.warn_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(limits: Value) -> Result<Limits, Refusal> {
        let mut members = Map::new();
        members.insert("limits".to_owned(), limits);
        let mut read_to = Limits::default();
        read(&mut members, "", &mut read_to, &|zone| zone == "Europe/Berlin")?;
        Ok(read_to)
    }

    #[test]
    fn limits_are_shown_as_they_are_taken() {
        let limits = parse(json!([
            {"unit": "usd", "amount": 12.5, "window": "day", "time_zone": "Europe/Berlin", "warn_at_percent": [95, 80, 95]},
            {"unit": "usd", "amount": "0.000000001", "window": "week"},
            {"unit": "requests", "amount": 600, "window": "60s", "burst": 10, "models": ["gpt-4*"]},
            {"unit": "requests", "amount": "600", "window": "1m"},
            {"unit": "tokens", "amount": 1, "window": "month@Europe/Berlin"},
            {"unit": "input_tokens", "amount": 1, "window": "total"},
            {"unit": "output_tokens", "amount": 1, "window": "30d"},
            {"unit": "concurrent", "amount": 4, "window": null},
        ]))
        .unwrap();
        assert_eq!(limits.more[0].amount, 12_500_000_000);
        assert_eq!(limits.more[0].window.to_string(), "day@Europe/Berlin");
        assert_eq!(limits.more[0].warn_at, [80, 95]);
        assert_eq!(limits.more[3].window, Window::MINUTE);
        let again = parse(shown(&limits)["limits"].clone()).unwrap();
        assert_eq!(again, limits);
    }

    #[test]
    fn every_mistake_is_named() {
        let good = json!({"unit": "requests", "amount": 5, "window": "60s"});
        let with = |changes: Value| {
            let mut limit = good.clone();
            for (name, value) in changes.as_object().unwrap() {
                limit[name] = value.clone();
            }
            json!([good, limit])
        };
        let models = |models: Value| with(json!({"models": models}));
        for (limits, param) in [
            (json!({}), "limits"),
            (json!(vec![good.clone(); 51]), "limits"),
            (json!([5]), "limits[0]"),
            (with(json!({})), "limits[1]"),
            (with(json!({"unit": "euro"})), "limits[1].unit"),
            (with(json!({"unit": null})), "limits[1].unit"),
            (with(json!({"amount": 0})), "limits[1].amount"),
            (with(json!({"amount": 1.5})), "limits[1].amount"),
            (with(json!({"amount": null})), "limits[1].amount"),
            (with(json!({"unit": "usd", "amount": -1})), "limits[1].amount"),
            (with(json!({"unit": "usd", "amount": "0.0000000001"})), "limits[1].amount"),
            (with(json!({"unit": "usd", "amount": null})), "limits[1].amount"),
            (with(json!({"amount": 9_007_199_254_740_993_u64})), "limits[1].amount"),
            (with(json!({"window": "fortnight"})), "limits[1].window"),
            (with(json!({"window": null})), "limits[1].window"),
            (with(json!({"window": "32d"})), "limits[1].window"),
            (with(json!({"window": "day@Mars/Olympus"})), "limits[1].window"),
            (with(json!({"window": "day", "time_zone": "Mars/Olympus"})), "limits[1].time_zone"),
            (with(json!({"window": "day", "time_zone": 5})), "limits[1].time_zone"),
            (with(json!({"window": "day@UTC", "time_zone": "Europe/Berlin"})), "limits[1].time_zone"),
            (with(json!({"time_zone": "Europe/Berlin"})), "limits[1].time_zone"),
            (with(json!({"unit": "concurrent"})), "limits[1].window"),
            (with(json!({"unit": "concurrent", "window": null, "time_zone": "UTC"})), "limits[1].time_zone"),
            (
                with(json!({"unit": "concurrent", "window": null, "warn_at_percent": [5]})),
                "limits[1].warn_at_percent",
            ),
            (with(json!({"burst": 6})), "limits[1].burst"),
            (with(json!({"burst": 0})), "limits[1].burst"),
            (with(json!({"burst": 2, "window": "day"})), "limits[1].burst"),
            (with(json!({"burst": 2, "unit": "usd"})), "limits[1].burst"),
            (models(json!([])), "limits[1].models"),
            (models(json!("gpt")), "limits[1].models"),
            (models(json!(["a\u{7}"])), "limits[1].models"),
            (models(json!(["a,b"])), "limits[1].models"),
            (models(json!(vec!["m"; 51])), "limits[1].models"),
            (models(json!(["m".repeat(257)])), "limits[1].models"),
            (with(json!({"warn_at_percent": [0]})), "limits[1].warn_at_percent"),
            (with(json!({"warn_at_percent": [101]})), "limits[1].warn_at_percent"),
            (with(json!({"warn_at_percent": 80})), "limits[1].warn_at_percent"),
            (with(json!({"window": "61s", "per": 5})), "limits[1].per"),
        ] {
            let refusal = parse(limits.clone()).expect_err(&limits.to_string());
            assert_eq!(refusal.param.as_deref(), Some(param), "{limits}: {}", refusal.message);
            assert_eq!(refusal.status, 400);
        }
    }

    #[test]
    fn limits_of_each_user_name_their_place_and_nothing_clears() {
        let mut members = Map::new();
        members
            .insert("each_user".to_owned(), json!({"limits": [{"unit": "usd", "amount": 1, "window": "x"}]}));
        let refusal = read_each_user(&mut members, &|_| true).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("each_user.limits[0].window"));
        members.insert("each_user".to_owned(), json!({"budget_usd": {"year": 1}}));
        let refusal = read_each_user(&mut members, &|_| true).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("each_user.budget_usd.year"));
        for clears in [json!(null), json!({}), json!({"limits": []})] {
            members.insert("each_user".to_owned(), clears);
            assert_eq!(read_each_user(&mut members, &|_| true).unwrap(), Some(None));
        }
        assert_eq!(read_each_user(&mut Map::new(), &|_| true).unwrap(), None);
    }
}
