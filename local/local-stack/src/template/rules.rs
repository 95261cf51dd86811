//! The template's rules, by which CloudFormation refuses parameters that do not fit together.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::intrinsics::{self, Resolver, list};
use super::parameters;
use super::yaml::{self, Node};

/// The descriptions of the assertions that the parameters fail.
pub(super) fn broken(
    text: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<Vec<String>, Fault> {
    let template = yaml::parse(text)?;
    let resolver = Resolver::new(&template, parameters::resolve(&template, parameters)?);
    let mut broken = Vec::new();
    for (name, rule) in template.get("Rules").map_or(&[][..], Node::entries) {
        let place = format!("Rules.{name}");
        if let Some(condition) = rule.get("RuleCondition")
            && !resolver.condition(condition, &place)?
        {
            continue;
        }
        for assertion in list(member(rule, "Assertions", &place)?, &place)? {
            if !resolver.condition(member(assertion, "Assert", &place)?, &place)? {
                let description = member(assertion, "AssertDescription", &place)?;
                broken.push(intrinsics::text(description, &place)?.to_owned());
            }
        }
    }
    Ok(broken)
}

fn member<'n>(node: &'n Node, key: &str, place: &str) -> Result<&'n Node, Fault> {
    node.get(key)
        .ok_or_else(|| Fault::new(node.line, place, format!("{key} is missing")))
}
