//! Whether the caller runs all of the tools. Those the provider runs are billed by the call, and what they find is read as input
//! that nothing here can bound.

use super::Name;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// `tools`, reduced to that question.
pub(super) struct Tools {
    pub(super) hosted: bool,
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Tools;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of tools")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tools, A::Error> {
                let mut hosted = false;
                while let Some(Tool { own }) = items.next_element()? {
                    hosted |= !own;
                }
                Ok(Tools { hosted })
            }
        }
        deserializer.deserialize_seq(Visit)
    }
}

/// Described by the caller for the caller to run: `function`, `custom`.
struct Tool {
    own: bool,
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Tool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a type")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tool, A::Error> {
                let (mut types, mut own) = (0, 0);
                let mut described = false;
                while let Some(Name(name)) = map.next_key()? {
                    if name == "type" {
                        types += 1;
                        let kind = map.next_value::<Option<Name<'de>>>()?;
                        own += i32::from(matches!(
                            kind.as_ref().map(|Name(kind)| &**kind),
                            Some("function" | "custom")
                        ));
                        continue;
                    }
                    described |= name == "function";
                    map.next_value::<IgnoredAny>()?;
                }
                // Some clients leave the type out.
                Ok(Tool { own: if types == 0 { described } else { types == 1 && own == 1 } })
            }
        }
        deserializer.deserialize_map(Visit)
    }
}
