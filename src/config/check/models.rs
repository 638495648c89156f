//! `models:` and every reference to a model: names → targets.

use super::super::policy::{Policy, Target};
use super::super::problem::{Problems, nearest, ticked};
use super::super::reader::{Field, Named};
use super::super::resolve::{from_registry, is_model_name, qualified};
use crate::provider::PROVIDERS;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many aliases may stand between a name and a target.
const MAX_ALIAS_DEPTH: usize = 8;
/// The most targets a name may lead to. Each is an attempt, and a client waits for all of them.
const MAX_TARGETS: usize = 16;

/// The most aliases of a cycle that are named.
const MAX_SHOWN: usize = 10;

const MODEL: &str = "a model: `provider/model`, an alias of `models`, or a model name a provider claims";
const MODELS: &str = "a model, or a list of models with the first choice first";

/// Every name a reference may use.
pub(super) struct Names {
    /// Providers that can be called.
    providers: BTreeSet<String>,
    /// Aliases; `None` for one that is broken, which has been reported.
    aliases: BTreeMap<String, Option<Vec<Target>>>,
}

/// What one reference leads to.
enum Step {
    Target(Target),
    /// An alias, by its position.
    Alias(usize),
    /// Already reported.
    Broken,
}

/// Reads the aliases into the policy.
pub(super) fn read(
    field: Option<&Field<'_>>,
    policy: &mut Policy,
    declared: BTreeSet<String>,
    problems: &mut Problems,
) -> Names {
    let mut providers = declared;
    providers.extend(policy.providers.keys().cloned());
    let entries: Vec<Named<'_>> = field
        .and_then(|field| field.entries("a mapping of aliases to models", problems))
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| name_fits(entry, &providers, problems))
        .collect();
    let positions: BTreeMap<&str, usize> =
        entries.iter().enumerate().map(|(position, entry)| (entry.name, position)).collect();
    let steps: Vec<Vec<Step>> = entries
        .iter()
        .map(|entry| {
            let Some(choices) = entry.field.one_or_more(MODELS, problems) else { return vec![Step::Broken] };
            choices.iter().map(|choice| step(choice, &providers, &positions, problems)).collect()
        })
        .collect();
    let resolved = flatten(&entries, &steps, problems);
    let mut aliases = BTreeMap::new();
    for (entry, targets) in entries.iter().zip(resolved) {
        if let Some(targets) = &targets {
            policy.aliases.insert(entry.name.to_owned(), targets.clone());
        }
        aliases.insert(entry.name.to_owned(), targets);
    }
    Names { providers, aliases }
}

fn name_fits(entry: &Named<'_>, providers: &BTreeSet<String>, problems: &mut Problems) -> bool {
    let name = ticked(entry.name);
    if !is_model_name(entry.name) {
        let expected = "a name of 1 to 256 visible ASCII characters";
        entry.refuse_name(expected, format!("{name} cannot be an alias: expected {expected}"), problems);
        return false;
    }
    if let Some((provider, _)) = entry.name.split_once('/')
        && providers.contains(provider)
    {
        let message = format!(
            "{name} can never be reached: a name that begins with {} goes to that provider",
            ticked(&format!("{provider}/"))
        );
        entry.refuse_name("an alias that does not begin with the name of a provider", message, problems);
        return false;
    }
    true
}

/// Follows a reference for one step, or reports why that is not possible.
fn step(
    field: &Field<'_>,
    providers: &BTreeSet<String>,
    aliases: &BTreeMap<&str, usize>,
    problems: &mut Problems,
) -> Step {
    let Some(name) = field.text(MODEL, problems) else { return Step::Broken };
    if !is_model_name(name) {
        field.mismatch_because(
            MODEL,
            "a model name has 1 to 256 visible ASCII characters, no spaces",
            problems,
        );
        return Step::Broken;
    }
    let target = |provider: &str, model: &str| {
        Step::Target(Target { provider: provider.to_owned(), model: model.to_owned() })
    };
    if let Some((provider, model)) = qualified(name)
        && providers.contains(provider)
    {
        return target(provider, model);
    }
    if let Some(position) = aliases.get(name) {
        return Step::Alias(*position);
    }
    if let Some((provider, model)) = from_registry(name) {
        if providers.contains(provider.name) {
            return target(provider.name, model);
        }
        let message =
            format!("{} belongs to provider `{}`, which is not configured", ticked(name), provider.name);
        field.refuse("a model of a configured provider", message, problems);
        return Step::Broken;
    }
    unknown(field, name, providers, aliases.keys().copied(), problems);
    Step::Broken
}

fn unknown<'a>(
    field: &Field<'_>,
    name: &str,
    providers: &BTreeSet<String>,
    aliases: impl Iterator<Item = &'a str>,
    problems: &mut Problems,
) {
    let meant = |meant: Option<&str>| {
        meant.map_or_else(String::new, |meant| format!("; did you mean {}?", ticked(meant)))
    };
    if let Some((provider, model)) = qualified(name) {
        let nearest =
            nearest(provider, providers.iter().map(String::as_str)).map(|near| format!("{near}/{model}"));
        let known = providers.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!(
            "unknown provider {} in {}{} (known: {})",
            ticked(provider),
            ticked(name),
            meant(nearest.as_deref()),
            abridged(&known)
        );
        field.refuse("a model of a configured provider", message, problems);
    } else {
        let built_in = PROVIDERS.iter().flat_map(|provider| provider.aliases).map(|(alias, _)| *alias);
        let nearest = nearest(name, aliases.chain(built_in));
        let message = format!("unknown model {}{}; expected {MODEL}", ticked(name), meant(nearest));
        field.refuse(MODEL, message, problems);
    }
}

/// A list that is short enough for a message.
fn abridged(list: &str) -> String {
    const MAX_CHARS: usize = 300;
    match list.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", list.get(..end).unwrap_or_default()),
        None => list.to_owned(),
    }
}

/// Resolves all aliases, those that need the fewest steps first, so that nothing recurses and cycles are what remains.
fn flatten(entries: &[Named<'_>], steps: &[Vec<Step>], problems: &mut Problems) -> Vec<Option<Vec<Target>>> {
    // Outer `None`: not yet known. Inner `None`: broken.
    let mut resolved: Vec<Option<Option<Vec<Target>>>> = vec![None; entries.len()];
    for _ in 0..=MAX_ALIAS_DEPTH {
        let mut round = Vec::new();
        for (position, (entry, steps)) in entries.iter().zip(steps).enumerate() {
            if resolved.get(position).is_some_and(Option::is_none)
                && let Some(outcome) = gather(&entry.field, steps, &resolved, problems)
            {
                round.push((position, outcome));
            }
        }
        for (position, outcome) in round {
            if let Some(slot) = resolved.get_mut(position) {
                *slot = Some(outcome);
            }
        }
    }
    report_unresolved(entries, steps, &resolved, problems);
    resolved.into_iter().map(Option::flatten).collect()
}

/// The targets of one alias, if those of all it points to are known.
fn gather(
    field: &Field<'_>,
    steps: &[Step],
    resolved: &[Option<Option<Vec<Target>>>],
    problems: &mut Problems,
) -> Option<Option<Vec<Target>>> {
    let mut targets = Vec::new();
    let mut broken = false;
    for step in steps {
        match step {
            Step::Target(target) => add(&mut targets, target),
            Step::Broken => broken = true,
            Step::Alias(position) => match resolved.get(*position).and_then(Option::as_ref)? {
                Some(known) => known.iter().for_each(|target| add(&mut targets, target)),
                None => broken = true,
            },
        }
    }
    if targets.len() > MAX_TARGETS {
        too_many(field, targets.len(), problems);
        broken = true;
    }
    Some((!broken).then_some(targets))
}

/// Adds a target unless it is already a choice: trying the same one again is what retries are for.
fn add(targets: &mut Vec<Target>, target: &Target) {
    if !targets.contains(target) {
        targets.push(target.clone());
    }
}

fn too_many(field: &Field<'_>, count: usize, problems: &mut Problems) {
    let expected = format!("at most {MAX_TARGETS} models");
    field.refuse(
        &expected,
        format!("expected {expected} after aliases are resolved, found {count}"),
        problems,
    );
}

fn report_unresolved(
    entries: &[Named<'_>],
    steps: &[Vec<Step>],
    resolved: &[Option<Option<Vec<Target>>>],
    problems: &mut Problems,
) {
    let open = |position: usize| resolved.get(position).is_some_and(Option::is_none);
    let cycles = cycles(steps, &open);
    let on_cycle = |position: usize| cycles.get(position).is_some_and(Option::is_some);
    for (position, entry) in entries.iter().enumerate() {
        if let Some(Some(cycle)) = cycles.get(position) {
            let message = format!(
                "alias {} leads back to itself: {}; write `provider/model` where the model itself is meant",
                ticked(entry.name),
                chain(cycle, entries)
            );
            entry.field.refuse("an alias that ends at a model", message, problems);
        } else if open(position) && !reachable(position, steps, &open).iter().any(|other| on_cycle(*other)) {
            let message = format!(
                "alias {} leads through more than {MAX_ALIAS_DEPTH} other aliases",
                ticked(entry.name)
            );
            entry.field.refuse(&format!("at most {MAX_ALIAS_DEPTH} aliases in a row"), message, problems);
        }
    }
}

/// The aliases a list of steps points to.
fn pointed_to<'a>(
    position: usize,
    steps: &'a [Vec<Step>],
    open: &'a impl Fn(usize) -> bool,
) -> impl Iterator<Item = usize> + 'a {
    steps.get(position).into_iter().flatten().filter_map(move |step| match step {
        Step::Alias(next) if open(*next) => Some(*next),
        _ => None,
    })
}

/// All that can be reached from an alias, each with the alias it was reached from.
fn reached_from(start: usize, steps: &[Vec<Step>], open: &impl Fn(usize) -> bool) -> BTreeMap<usize, usize> {
    let mut from = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(position) = queue.pop_front() {
        for next in pointed_to(position, steps, open) {
            if let std::collections::btree_map::Entry::Vacant(slot) = from.entry(next) {
                slot.insert(position);
                queue.push_back(next);
            }
        }
    }
    from
}

fn reachable(start: usize, steps: &[Vec<Step>], open: &impl Fn(usize) -> bool) -> Vec<usize> {
    reached_from(start, steps, open).into_keys().collect()
}

/// For each alias on a cycle, the way back to itself, as far as it is shown.
fn cycles(steps: &[Vec<Step>], open: &impl Fn(usize) -> bool) -> Vec<Option<Vec<usize>>> {
    let mut cycles: Vec<Option<Vec<usize>>> = vec![None; steps.len()];
    for start in (0..steps.len()).filter(|start| open(*start)) {
        if cycles.get(start).is_some_and(Option::is_some) {
            continue;
        }
        let Some(way) = cycle(start, steps, open) else { continue };
        for (offset, member) in way.iter().enumerate() {
            if let Some(slot @ None) = cycles.get_mut(*member) {
                let shown = (way.len() + 1).min(MAX_SHOWN + 1);
                *slot = Some(way.iter().copied().cycle().skip(offset).take(shown).collect());
            }
        }
    }
    cycles
}

/// A shortest way from an alias back to itself, each alias once, if there is one.
fn cycle(start: usize, steps: &[Vec<Step>], open: &impl Fn(usize) -> bool) -> Option<Vec<usize>> {
    let from = reached_from(start, steps, open);
    let mut way = vec![start];
    let mut position = *from.get(&start)?;
    while position != start && way.len() <= steps.len() {
        way.push(position);
        position = *from.get(&position)?;
    }
    // Collected backwards: start, last, …, second.
    way.reverse();
    way.rotate_right(1);
    Some(way)
}

fn chain(cycle: &[usize], entries: &[Named<'_>]) -> String {
    let mut names: Vec<String> = cycle
        .iter()
        .take(MAX_SHOWN)
        .filter_map(|position| entries.get(*position))
        .map(|entry| ticked(entry.name))
        .collect();
    if cycle.len() > MAX_SHOWN {
        names.push("…".to_owned());
    }
    names.join(" → ")
}

impl Names {
    /// The targets of a model or a list of models.
    pub(super) fn targets(&self, field: &Field<'_>, problems: &mut Problems) -> Option<Vec<Target>> {
        let choices = field.one_or_more(MODELS, problems)?;
        let positions: BTreeMap<&str, usize> =
            self.aliases.keys().enumerate().map(|(position, name)| (name.as_str(), position)).collect();
        let values: Vec<&Option<Vec<Target>>> = self.aliases.values().collect();
        let mut targets = Vec::new();
        let mut broken = false;
        for choice in &choices {
            match step(choice, &self.providers, &positions, problems) {
                Step::Target(target) => add(&mut targets, &target),
                Step::Alias(position) => match values.get(position) {
                    Some(Some(known)) => known.iter().for_each(|target| add(&mut targets, target)),
                    _ => broken = true,
                },
                Step::Broken => broken = true,
            }
        }
        if targets.len() > MAX_TARGETS {
            too_many(field, targets.len(), problems);
            broken = true;
        }
        (!broken).then_some(targets)
    }

    /// Whether a provider of this name can be called.
    pub(super) fn has_provider(&self, name: &str) -> bool {
        self.providers.contains(name)
    }

    /// Reports a name that should begin with the name of a provider and does not.
    pub(super) fn check_qualified(&self, entry: &Named<'_>, problems: &mut Problems) -> bool {
        const EXPECTED: &str = "`provider/model` with the name of a configured provider";
        let known = qualified(entry.name).map(|(provider, _)| (provider, self.providers.contains(provider)));
        if is_model_name(entry.name) && known.is_some_and(|(_, known)| known) {
            return true;
        }
        let meant = match known {
            Some((provider, _)) => {
                let near = nearest(provider, self.providers.iter().map(String::as_str));
                near.map_or_else(String::new, |near| format!("; did you mean provider {}?", ticked(near)))
            }
            None => match from_registry(entry.name) {
                Some((provider, model)) => {
                    format!("; did you mean {}?", ticked(&format!("{}/{model}", provider.name)))
                }
                None => String::new(),
            },
        };
        let name = ticked(entry.name);
        entry.refuse_name(EXPECTED, format!("expected {EXPECTED}, found {name}{meant}"), problems);
        false
    }
}
