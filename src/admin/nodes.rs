//! Customers, teams and keys.
//!
//! A change goes to D1 first, which is the authority, then to the customer's object, which enforces it from then on, then
//! to KV. If a later step fails the answer says so, and the same request may be made again.

use super::{Answer, fields::Fields, limits, not_found, parameter, unavailable};
use crate::{
    admit::wire::{Command, KeyRecord, Level, Limits, NodeSpec, Reply},
    config::policy::Pattern,
    model::{
        id::{CustomerId, KeyDigest, KeyId, PresentedKey, TeamId},
        time::Timestamp,
    },
    ports::{ClientRequest, World},
    refusal::Refusal,
    service::key_name,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The level a path names.
pub(super) fn level(kind: &str) -> Level {
    match kind {
        "customers" => Level::Customer,
        "teams" => Level::Team,
        _ => Level::Key,
    }
}

/// What `nodes.body` holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Body {
    limits: Limits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    each_user: Option<Limits>,
    blocked: bool,
    /// A revoked key is blocked for ever.
    revoked: bool,
    metadata: BTreeMap<String, String>,
    expires_at: Option<Timestamp>,
    models: Option<Vec<String>>,
    default_max_tokens: Option<u64>,
    digest: Option<KeyDigest>,
}

/// A row of `nodes`.
#[derive(Clone, Debug)]
struct Node {
    id: String,
    level: Level,
    customer: CustomerId,
    team: Option<TeamId>,
    name: String,
    body: Body,
    revision: u64,
    created_at: Timestamp,
}

impl Node {
    fn from_row(row: &Value) -> Option<Self> {
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            id: text("id")?,
            level: match text("level")?.as_str() {
                "customer" => Level::Customer,
                "team" => Level::Team,
                _ => Level::Key,
            },
            customer: CustomerId(text("customer_id")?),
            team: text("team_id").map(TeamId),
            name: text("name")?,
            body: serde_json::from_str(&text("body")?).ok()?,
            revision: row.get("revision").and_then(Value::as_u64)?,
            created_at: Timestamp(row.get("created_at").and_then(Value::as_i64)?),
        })
    }

    fn spec(&self) -> NodeSpec {
        NodeSpec {
            id: self.id.clone(),
            level: self.level,
            team: self.team.clone(),
            limits: self.body.limits.clone(),
            each_user: self.body.each_user.clone(),
            blocked: self.body.blocked || self.body.revoked,
            expires_at: self.body.expires_at,
            revision: self.revision,
        }
    }

    fn record(&self, customer_name: &str, team_name: Option<&str>) -> Option<KeyRecord> {
        Some(KeyRecord {
            digest: self.body.digest.clone()?,
            id: KeyId(self.id.clone()),
            customer: self.customer.clone(),
            customer_name: customer_name.to_owned(),
            team: self.team.clone(),
            team_name: team_name.map(str::to_owned),
            name: self.name.clone(),
            blocked: self.body.blocked || self.body.revoked,
            expires_at: self.body.expires_at,
            models: self.body.models.clone().map(Pattern),
            default_max_tokens: self.body.default_max_tokens,
            metadata: self.body.metadata.clone(),
            revision: self.revision,
        })
    }

    fn shown(&self) -> Value {
        let mut shown = json!({
            "object": self.level.word(), "id": self.id, "name": self.name, "blocked": self.body.blocked,
            "each_user": self.body.each_user.as_ref().map(limits::shown), "metadata": self.body.metadata,
            "created_at": self.created_at.to_rfc3339(), "revision": self.revision,
        });
        if let Some(members) = shown.as_object_mut() {
            members.extend(limits::shown(&self.body.limits));
            if self.level != Level::Customer {
                members.insert("customer_id".to_owned(), json!(self.customer));
            }
            if self.level == Level::Key {
                members.insert("team_id".to_owned(), json!(self.team));
                members
                    .insert("expires_at".to_owned(), json!(self.body.expires_at.map(Timestamp::to_rfc3339)));
                members.insert("models".to_owned(), json!(self.body.models));
                members.insert("default_max_tokens".to_owned(), json!(self.body.default_max_tokens));
                members.insert("revoked".to_owned(), json!(self.body.revoked));
            }
        }
        shown
    }
}

const COLUMNS: &str = "SELECT id, level, customer_id, team_id, name, body, revision, created_at FROM nodes";

async fn select<W: World>(world: &W, condition: &str, parameters: Vec<Value>) -> Result<Vec<Node>, Refusal> {
    let query = format!("{COLUMNS} WHERE {condition}");
    let rows = world.sql(&[(query, parameters)]).await.map_err(unavailable)?;
    Ok(rows.iter().filter_map(Node::from_row).collect())
}

async fn find<W: World>(world: &W, level: Level, id: &str) -> Result<Node, Refusal> {
    let found = select(world, "id = ?1 AND level = ?2", vec![json!(id), json!(level.word())]).await?;
    found.into_iter().next().ok_or_else(|| not_found(level.word(), id))
}

fn required(value: Option<Option<String>>, name: &str) -> Result<String, Refusal> {
    value.flatten().ok_or_else(|| {
        Refusal::bad_param(
            "missing_required_parameter",
            name,
            format!("Missing required parameter: '{name}'."),
        )
    })
}

const CUSTOMER_FIELDS: &[&str] =
    &["name", "blocked", "budget_usd", "rate_limit", "limits", "each_user", "metadata"];
const TEAM_FIELDS: &[&str] =
    &["customer_id", "name", "blocked", "budget_usd", "rate_limit", "limits", "each_user", "metadata"];
const KEY_FIELDS: &[&str] = &[
    "customer_id",
    "team_id",
    "name",
    "blocked",
    "expires_at",
    "models",
    "default_max_tokens",
    "budget_usd",
    "rate_limit",
    "limits",
    "each_user",
    "metadata",
];

fn known(level: Level) -> &'static [&'static str] {
    match level {
        Level::Customer => CUSTOMER_FIELDS,
        Level::Team => TEAM_FIELDS,
        Level::Key | Level::Route | Level::User => KEY_FIELDS,
    }
}

/// Members that may be given at creation and changed later.
fn read_changes<W: World>(
    world: &W,
    fields: &mut Fields,
    level: Level,
    body: &mut Body,
) -> Result<(), Refusal> {
    let zones = |zone: &str| world.knows_zone(zone);
    limits::read(fields.members(), "", &mut body.limits, &zones)?;
    if let Some(each_user) = limits::read_each_user(fields.members(), &zones)? {
        body.each_user = each_user;
    }
    if let Some(blocked) = fields.flag("blocked")? {
        body.blocked = blocked;
    }
    if let Some(metadata) = fields.metadata()? {
        body.metadata = metadata;
    }
    if level == Level::Key {
        if let Some(expires_at) = fields.moment("expires_at")? {
            body.expires_at = expires_at;
        }
        if let Some(models) = fields.texts("models")? {
            body.models = models;
        }
        if let Some(cap) = fields.count("default_max_tokens")? {
            body.default_max_tokens = cap;
        }
    }
    Ok(())
}

/// Creates a node.
pub(super) async fn create<W: World>(
    world: &W,
    request: &ClientRequest,
    level: Level,
) -> Result<Answer, Refusal> {
    let mut fields = Fields::read(&request.body)?;
    let name = fields.text("name")?;
    let mut body = Body::default();
    read_changes(world, &mut fields, level, &mut body)?;
    let (id, customer, team, name, key) = match level {
        Level::Customer => {
            let id = CustomerId::mint(world.random());
            (id.0.clone(), id, None, required(name, "name")?, None)
        }
        Level::Team => {
            let customer = CustomerId(required(fields.text("customer_id")?, "customer_id")?);
            (TeamId::mint(world.random()).0, customer, None, required(name, "name")?, None)
        }
        Level::Key | Level::Route | Level::User => {
            let customer = CustomerId(required(fields.text("customer_id")?, "customer_id")?);
            let team = fields.text("team_id")?.flatten().map(TeamId);
            let key = PresentedKey::mint(&customer, [world.random(), world.random()]);
            body.digest = Some(key.digest());
            let id = KeyId::mint(world.random());
            (id.0, customer, team, name.flatten().unwrap_or_default(), Some(key))
        }
    };
    fields.finish(known(level))?;
    let node = Node { id, level, customer, team, name, body, revision: 1, created_at: world.now() };
    let family = Family::of(world, &node).await?;
    let insert = "INSERT INTO nodes (id, level, customer_id, team_id, name, body, revision, created_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let parameters = vec![
        json!(node.id),
        json!(level.word()),
        json!(node.customer),
        json!(node.team),
        json!(node.name),
        json!(serde_json::to_string(&node.body).unwrap_or_default()),
        json!(node.revision),
        json!(node.created_at),
    ];
    world.sql(&[(insert.to_owned(), parameters)]).await.map_err(unavailable)?;
    publish(world, &node, &family).await?;
    let mut shown = node.shown();
    if let (Some(key), Some(members)) = (key, shown.as_object_mut()) {
        members.insert("key".to_owned(), json!(key.reveal()));
    }
    Ok((201, shown))
}

/// The names above a node, and proof that they exist.
struct Family {
    customer_name: String,
    team_name: Option<String>,
}

impl Family {
    async fn of<W: World>(world: &W, node: &Node) -> Result<Self, Refusal> {
        if node.level == Level::Customer {
            return Ok(Self { customer_name: node.name.clone(), team_name: None });
        }
        let customer = find(world, Level::Customer, node.customer.as_str()).await?;
        let team_name = match &node.team {
            None => None,
            Some(team) => {
                let team = find(world, Level::Team, team.as_str()).await?;
                if team.customer != node.customer {
                    return Err(Refusal::bad_param(
                        "invalid_value",
                        "team_id",
                        format!("The team '{}' belongs to another customer.", team.id),
                    ));
                }
                Some(team.name)
            }
        };
        Ok(Self { customer_name: customer.name, team_name })
    }
}

/// Object first: it enforces. Then KV: it only saves a question.
async fn publish<W: World>(world: &W, node: &Node, family: &Family) -> Result<(), Refusal> {
    let record = node.record(&family.customer_name, family.team_name.as_deref());
    let command = Command::Publish { nodes: vec![node.spec()], keys: record.clone().into_iter().collect() };
    let unfinished = |fault: crate::ports::Fault| {
        let mut refusal = unavailable(fault);
        refusal.message = format!("{} is stored but not in force yet: {}", node.id, refusal.message);
        refusal.with("id", json!(node.id))
    };
    match world.ledger(&node.customer, &command).await.map_err(unfinished)? {
        Reply::Published => {}
        other => {
            return Err(Refusal::unavailable(format!("the object answered a publication with {other:?}")));
        }
    }
    if let Some(record) = record {
        world.forget_key(&record.digest);
        let value = serde_json::to_string(&record).unwrap_or_default();
        // KV refuses more than one write a second to one name. The object has the truth, and tells isolates that theirs is
        // old, so a failure here costs a look-up and nothing else.
        if let Err(fault) = world.publish(&key_name(&record.digest), value).await {
            world.log(&format!("key {} not published to KV: {}", node.id, fault.0));
        }
    }
    Ok(())
}

/// One node.
pub(super) async fn read<W: World>(world: &W, level: Level, id: &str) -> Result<Answer, Refusal> {
    Ok((200, find(world, level, id).await?.shown()))
}

/// All nodes of a level, oldest first; `customer_id` narrows, `after` continues.
pub(super) async fn list<W: World>(
    world: &W,
    request: &ClientRequest,
    level: Level,
) -> Result<Answer, Refusal> {
    const PAGE: usize = 200;
    let mut condition = "level = ?1 AND id > ?2".to_owned();
    let mut parameters = vec![json!(level.word()), json!(parameter(request, "after").unwrap_or_default())];
    if let Some(customer) = parameter(request, "customer_id") {
        condition.push_str(" AND customer_id = ?3");
        parameters.push(json!(customer));
    }
    condition.push_str(&format!(" ORDER BY id LIMIT {}", PAGE + 1));
    let mut nodes = select(world, &condition, parameters).await?;
    let has_more = nodes.len() > PAGE;
    nodes.truncate(PAGE);
    let data: Vec<Value> = nodes.iter().map(Node::shown).collect();
    Ok((200, json!({"object": "list", "data": data, "has_more": has_more})))
}

/// Changes a node. Two changes at once: the second is told to read again.
pub(super) async fn change<W: World>(
    world: &W,
    request: &ClientRequest,
    level: Level,
    id: &str,
) -> Result<Answer, Refusal> {
    let mut node = find(world, level, id).await?;
    let mut fields = Fields::read(&request.body)?;
    let mut renamed = false;
    if let Some(name) = fields.text("name")? {
        let name = name.unwrap_or_default();
        if name.is_empty() && level != Level::Key {
            return Err(Refusal::bad_param("invalid_value", "name", "The name cannot be empty."));
        }
        renamed = name != node.name && level != Level::Key;
        node.name = name;
    }
    read_changes(world, &mut fields, level, &mut node.body)?;
    let changeable: Vec<&str> =
        known(level).iter().copied().filter(|name| !matches!(*name, "customer_id" | "team_id")).collect();
    fields.finish(&changeable)?;
    store(world, &mut node).await?;
    if renamed {
        republish_keys(world, &node).await?;
    }
    Ok((200, node.shown()))
}

/// Revokes a key for ever.
pub(super) async fn revoke<W: World>(world: &W, id: &str) -> Result<Answer, Refusal> {
    let mut node = find(world, Level::Key, id).await?;
    if !node.body.revoked {
        node.body.revoked = true;
        node.body.blocked = true;
    }
    store(world, &mut node).await?;
    Ok((200, node.shown()))
}

async fn store<W: World>(world: &W, node: &mut Node) -> Result<(), Refusal> {
    let family = Family::of(world, node).await?;
    let update = "UPDATE nodes SET name = ?1, body = ?2, revision = revision + 1 WHERE id = ?3 AND revision = ?4 \
                  RETURNING revision";
    let parameters = vec![
        json!(node.name),
        json!(serde_json::to_string(&node.body).unwrap_or_default()),
        json!(node.id),
        json!(node.revision),
    ];
    let rows = world.sql(&[(update.to_owned(), parameters)]).await.map_err(unavailable)?;
    if rows.is_empty() {
        return Err(Refusal::new(
            409,
            "invalid_request_error",
            "conflict",
            format!("'{}' was changed by somebody else in the meantime. Read it and try again.", node.id),
        ));
    }
    node.revision += 1;
    publish(world, node, &family).await
}

/// Keys carry the names above them, since routes match on these.
async fn republish_keys<W: World>(world: &W, parent: &Node) -> Result<(), Refusal> {
    let column = if parent.level == Level::Customer { "customer_id" } else { "team_id" };
    let condition = format!("customer_id = ?1 AND level = 'key' AND {column} = ?2");
    let parameters = vec![json!(parent.customer), json!(parent.id)];
    for mut key in select(world, &condition, parameters).await? {
        store(world, &mut key).await?;
    }
    Ok(())
}

/// Every limit above a key with its figures; with `user`, that end user's as well.
pub(super) async fn limits<W: World>(
    world: &W,
    request: &ClientRequest,
    id: &str,
) -> Result<Answer, Refusal> {
    let node = find(world, Level::Key, id).await?;
    let command = Command::Describe { key: KeyId(node.id), user: parameter(request, "user") };
    match world.ledger(&node.customer, &command).await.map_err(unavailable)? {
        Reply::Limits { limits } => Ok((200, json!({"object": "list", "data": limits, "has_more": false}))),
        other => Err(Refusal::unavailable(format!("the object answered a description with {other:?}"))),
    }
}
