//! The template's rules, by which CloudFormation refuses parameters that do not fit together.

use super::fault::Fault;
use super::intrinsics::{Resolver, list, text};
use super::yaml::Node;

/// The descriptions of the assertions that the parameters fail.
pub(super) fn broken(template: &Node, resolver: &Resolver<'_>) -> Result<Vec<String>, Fault> {
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
                broken.push(text(description, &place)?.to_owned());
            }
        }
    }
    Ok(broken)
}

fn member<'n>(node: &'n Node, key: &str, place: &str) -> Result<&'n Node, Fault> {
    node.get(key)
        .ok_or_else(|| Fault::new(node.line, place, format!("{key} is missing")))
}
