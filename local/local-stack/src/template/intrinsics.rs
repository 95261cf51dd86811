//! CloudFormation's functions: `Ref`, `Fn::Sub` and the others, as far as they do not need AWS to be resolved.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::value::Value;
use super::yaml::{Content, Node};

/// What AWS would fill in. The account is the one that documentation and local tools use.
const PSEUDO_PARAMETERS: [(&str, &str); 6] = [
    ("AWS::AccountId", ACCOUNT),
    ("AWS::Partition", "aws"),
    ("AWS::Region", REGION),
    (
        "AWS::StackId",
        "arn:aws:cloudformation:us-east-1:123456789012:stack/local/local",
    ),
    ("AWS::StackName", "local"),
    ("AWS::URLSuffix", "amazonaws.com"),
];
/// The account that documentation and local tools use.
pub const ACCOUNT: &str = "123456789012";
/// The region that local tools default to.
pub const REGION: &str = "us-east-1";

/// Resolves parts of one template under one set of parameter values.
pub(super) struct Resolver<'a> {
    template: &'a Node,
    parameters: BTreeMap<String, Node>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(template: &'a Node, parameters: BTreeMap<String, Node>) -> Self {
        Self {
            template,
            parameters,
        }
    }

    /// Resolves a part of the template; `None` if nothing is left of it (`AWS::NoValue`).
    pub(super) fn resolve(&self, node: &Node, place: &str) -> Result<Option<Value>, Fault> {
        Ok(self.node(node, place)?.map(|node| Value::new(node, place)))
    }

    /// The resources that exist under the present conditions, in the order of the template: name and declaration.
    pub(super) fn resources(&self) -> Result<Vec<(&'a str, &'a Node)>, Fault> {
        let resources = self
            .template
            .get("Resources")
            .map_or(&[][..], Node::entries);
        let mut existing = Vec::new();
        for (name, declaration) in resources {
            let exists = match declaration.get("Condition") {
                Some(condition) => {
                    self.condition(condition, &format!("Resources.{name}.Condition"))?
                }
                None => true,
            };
            if exists {
                existing.push((name.as_str(), declaration));
            }
        }
        Ok(existing)
    }

    /// The ARN that `Fn::GetAtt: [name, Arn]` yields for a function.
    pub(super) fn function_arn(name: &str) -> String {
        format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
    }

    fn node(&self, node: &Node, place: &str) -> Result<Option<Node>, Fault> {
        let line = node.line;
        match &node.content {
            Content::Null | Content::Text(_) => Ok(Some(node.clone())),
            Content::List(items) => Ok(Some(Node::list(line, self.items(items, place)?))),
            Content::Map(entries) => match entries.as_slice() {
                [(key, argument)] if is_function(key) => self.call(key, argument, line, place),
                entries => {
                    let mut resolved = Vec::with_capacity(entries.len());
                    for (key, value) in entries {
                        if let Some(value) = self.node(value, &format!("{place}.{key}"))? {
                            resolved.push((key.clone(), value));
                        }
                    }
                    Ok(Some(Node {
                        line,
                        content: Content::Map(resolved),
                    }))
                }
            },
        }
    }

    fn items(&self, items: &[Node], place: &str) -> Result<Vec<Node>, Fault> {
        let mut resolved = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            resolved.extend(self.node(item, &format!("{place}[{index}]"))?);
        }
        Ok(resolved)
    }

    fn call(
        &self,
        function: &str,
        argument: &Node,
        line: usize,
        place: &str,
    ) -> Result<Option<Node>, Fault> {
        let fault = |problem: String| Fault::new(line, place, problem);
        match function {
            "Ref" => {
                let name = argument
                    .as_text()
                    .ok_or_else(|| fault("Ref takes a name".to_owned()))?;
                self.reference(name, line, place)
            }
            "Fn::GetAtt" => {
                let [resource, attribute] = self.arguments(function, argument, place)?;
                let (resource, attribute) = (text(&resource, place)?, text(&attribute, place)?);
                self.attribute(resource, attribute, line, place)
                    .map(|text| Some(Node::text(line, text)))
            }
            "Fn::Sub" => self
                .substitute(argument, place)
                .map(|text| Some(Node::text(line, text))),
            "Fn::Join" => {
                let [separator, items] = self.arguments(function, argument, place)?;
                let joined = Value::new(items, place)
                    .texts()?
                    .join(text(&separator, place)?);
                Ok(Some(Node::text(line, joined)))
            }
            "Fn::Split" => {
                let [separator, source] = self.arguments(function, argument, place)?;
                let parts = text(&source, place)?.split(text(&separator, place)?);
                Ok(Some(Node::list(
                    line,
                    parts.map(|part| Node::text(line, part)).collect(),
                )))
            }
            "Fn::Select" => {
                let [index, items] = self.arguments(function, argument, place)?;
                let index: usize = Value::new(index, place).parse("an index")?;
                let Content::List(items) = items.content else {
                    return Err(fault("Fn::Select takes an index and a list".to_owned()));
                };
                items
                    .into_iter()
                    .nth(index)
                    .map(Some)
                    .ok_or_else(|| fault(format!("the list has no item {index}")))
            }
            "Fn::If" => match list(argument, place)? {
                [condition, yes, no] => {
                    let name = text(condition, place)?;
                    let chosen = if self.named_condition(name, line, place)? {
                        yes
                    } else {
                        no
                    };
                    self.node(chosen, place)
                }
                _ => Err(fault(
                    "Fn::If takes a condition's name and two values".to_owned(),
                )),
            },
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" | "Condition" => Err(fault(format!(
                "{function} belongs into Conditions; use Fn::If with a condition's name"
            ))),
            _ => Err(fault(format!(
                "{function} is not supported by the local gateway"
            ))),
        }
    }

    /// The resolved arguments of a function that takes a fixed number of them.
    fn arguments<const N: usize>(
        &self,
        function: &str,
        argument: &Node,
        place: &str,
    ) -> Result<[Node; N], Fault> {
        let arguments = self.items(list(argument, place)?, place)?;
        let found = arguments.len();
        arguments.try_into().map_err(|_| {
            Fault::new(
                argument.line,
                place,
                format!("{function} takes {N} arguments, found {found}"),
            )
        })
    }

    /// What a name stands for. A resource stands for itself by its name: nothing here needs AWS's identifiers.
    fn reference(&self, name: &str, line: usize, place: &str) -> Result<Option<Node>, Fault> {
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some((_, value)) = PSEUDO_PARAMETERS.iter().find(|(known, _)| *known == name) {
            return Ok(Some(Node::text(line, *value)));
        }
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(Node {
                line,
                content: value.content.clone(),
            }));
        }
        // The alias that SAM makes for `AutoPublishAlias`: on this machine a function has no versions.
        if let Some(function) = name.strip_suffix(".Alias") {
            return self
                .existing(function, line, place)
                .map(|()| Some(Node::text(line, Self::function_arn(function))));
        }
        self.existing(name, line, place)
            .map(|()| Some(Node::text(line, name)))
    }

    fn attribute(
        &self,
        resource: &str,
        attribute: &str,
        line: usize,
        place: &str,
    ) -> Result<String, Fault> {
        self.existing(resource, line, place)?;
        let kind = self
            .template
            .get("Resources")
            .and_then(|all| all.get(resource)?.get("Type")?.as_text());
        Ok(match (kind, attribute) {
            (Some("AWS::Serverless::Function" | "AWS::Lambda::Function"), "Arn") => {
                Self::function_arn(resource)
            }
            // Nothing that the local gateway reads depends on any other attribute.
            _ => format!("{resource}.{attribute}"),
        })
    }

    /// A fault unless the resource exists under the present conditions.
    fn existing(&self, name: &str, line: usize, place: &str) -> Result<(), Fault> {
        if self
            .resources()?
            .iter()
            .any(|(existing, _)| *existing == name)
        {
            return Ok(());
        }
        let declared = self
            .template
            .get("Resources")
            .is_some_and(|all| all.get(name).is_some());
        let problem = if declared {
            format!("the resource {name} does not exist under the present conditions")
        } else {
            format!("there is no parameter or resource named {name}")
        };
        Err(Fault::new(line, place, problem))
    }

    /// `Fn::Sub`: `${Name}`, `${Resource.Attribute}`, the names of its own map, and `${!Literal}`.
    fn substitute(&self, argument: &Node, place: &str) -> Result<String, Fault> {
        let (template, names) = match &argument.content {
            Content::Text(template) => (template.as_str(), None),
            Content::List(parts) => match parts.as_slice() {
                [template, names] => (text(template, place)?, self.node(names, place)?),
                _ => {
                    return Err(Fault::new(
                        argument.line,
                        place,
                        "Fn::Sub takes a text, or a text and a map",
                    ));
                }
            },
            _ => {
                return Err(Fault::new(
                    argument.line,
                    place,
                    "Fn::Sub takes a text, or a text and a map",
                ));
            }
        };
        let mut result = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            result.push_str(before);
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| Fault::new(argument.line, place, "Fn::Sub: a ${ without its }"))?;
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                result.push_str("${");
                result.push_str(literal);
                result.push('}');
            } else if let Some(own) = names.as_ref().and_then(|names| names.get(name)) {
                result.push_str(text(own, place)?);
            } else if let Some((resource, attribute)) = name.split_once('.') {
                result.push_str(&self.attribute(resource, attribute, argument.line, place)?);
            } else {
                let value = self.reference(name, argument.line, place)?;
                let value = value.ok_or_else(|| {
                    Fault::new(argument.line, place, "Fn::Sub cannot use AWS::NoValue")
                })?;
                result.push_str(text(&value, place)?);
            }
        }
        result.push_str(rest);
        Ok(result)
    }

    fn named_condition(&self, name: &str, line: usize, place: &str) -> Result<bool, Fault> {
        let condition = self
            .template
            .get("Conditions")
            .and_then(|all| all.get(name))
            .ok_or_else(|| {
                Fault::new(line, place, format!("there is no condition named {name}"))
            })?;
        self.condition(condition, &format!("Conditions.{name}"))
    }

    /// Whether a condition holds: a name, or a function of the `Conditions` or `Rules` section.
    pub(super) fn condition(&self, node: &Node, place: &str) -> Result<bool, Fault> {
        if let Some(name) = node.as_text() {
            return self.named_condition(name, node.line, place);
        }
        let [(function, argument)] = node.entries() else {
            return Err(Fault::new(
                node.line,
                place,
                format!("expected a condition, found {}", node.kind()),
            ));
        };
        match function.as_str() {
            "Condition" => self.named_condition(text(argument, place)?, argument.line, place),
            "Fn::Equals" => {
                let [left, right] = self.arguments(function, argument, place)?;
                Ok(text(&left, place)? == text(&right, place)?)
            }
            "Fn::EachMemberEquals" => {
                let [members, value] = self.arguments(function, argument, place)?;
                for member in list(&members, place)? {
                    if text(member, place)? != text(&value, place)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            "Fn::Not" => match list(argument, place)? {
                [condition] => Ok(!self.condition(condition, place)?),
                _ => Err(Fault::new(
                    argument.line,
                    place,
                    "Fn::Not takes one condition",
                )),
            },
            "Fn::And" => list(argument, place)?
                .iter()
                .try_fold(true, |all, next| Ok(self.condition(next, place)? && all)),
            "Fn::Or" => list(argument, place)?
                .iter()
                .try_fold(false, |any, next| Ok(self.condition(next, place)? || any)),
            _ => Err(Fault::new(
                node.line,
                place,
                format!("{function} is not supported by the local gateway"),
            )),
        }
    }
}

fn is_function(key: &str) -> bool {
    key == "Ref" || key == "Condition" || key.starts_with("Fn::")
}

pub(super) fn list<'n>(node: &'n Node, place: &str) -> Result<&'n [Node], Fault> {
    match &node.content {
        Content::List(items) => Ok(items),
        _ => Err(Fault::new(
            node.line,
            place,
            format!("expected a list, found {}", node.kind()),
        )),
    }
}

pub(super) fn text<'n>(node: &'n Node, place: &str) -> Result<&'n str, Fault> {
    node.as_text().ok_or_else(|| {
        Fault::new(
            node.line,
            place,
            format!("expected a text, found {}", node.kind()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::parameters;
    use super::super::yaml::parse;
    use super::*;

    const TEMPLATE: &str = "
Parameters:
  Origins: {Type: CommaDelimitedList, Default: 'https://a.example,https://b.example'}
  Kind: {Type: String, Default: JWT}
Conditions:
  IsJwt: !Equals [!Ref Kind, JWT]
  IsIam: !Not [!Condition IsJwt]
  Both: !And [!Condition IsJwt, !Condition IsIam]
  Either: !Or [!Condition IsJwt, !Condition IsIam]
Resources:
  Function: {Type: AWS::Serverless::Function}
  Authorizer: {Type: AWS::ApiGatewayV2::Authorizer, Condition: IsJwt}
  Iam: {Type: AWS::IAM::Role, Condition: IsIam}
";

    fn resolved(yaml: &str) -> Result<Option<Content>, String> {
        let template = parse(TEMPLATE).unwrap();
        let parameters = parameters::resolve(&template, &BTreeMap::new()).unwrap();
        let resolver = Resolver::new(&template, parameters);
        resolver
            .node(&parse(yaml).unwrap(), "Here")
            .map(|node| node.map(|node| node.content))
            .map_err(|f| f.problem)
    }

    fn resolved_text(yaml: &str) -> String {
        match resolved(yaml).unwrap().unwrap() {
            Content::Text(text) => text,
            other => panic!("{yaml} gave {other:?}"),
        }
    }

    fn resolved_texts(yaml: &str) -> Vec<String> {
        match resolved(yaml).unwrap().unwrap() {
            Content::List(items) => items
                .iter()
                .map(|item| item.as_text().unwrap().to_owned())
                .collect(),
            other => panic!("{yaml} gave {other:?}"),
        }
    }

    #[test]
    fn functions_give_texts() {
        let cases = [
            ("!Ref Kind", "JWT"),
            ("!Ref AWS::Region", "us-east-1"),
            ("!Ref Function", "Function"),
            (
                "!GetAtt Function.Arn",
                "arn:aws:lambda:us-east-1:123456789012:function:Function",
            ),
            ("!Sub integrations/${Function}", "integrations/Function"),
            (
                "!Sub '${Kind} ${!Kind} ${Function.Arn}'",
                "JWT ${Kind} arn:aws:lambda:us-east-1:123456789012:function:Function",
            ),
            ("!Sub ['${a}/${Kind}', {a: !Ref AWS::Partition}]", "aws/JWT"),
            (
                "!Join [',', !Ref Origins]",
                "https://a.example,https://b.example",
            ),
            (
                "!Join ['/', [integrations, !Ref Function]]",
                "integrations/Function",
            ),
            ("!Select [1, !Ref Origins]", "https://b.example"),
            ("!If [IsJwt, yes, no]", "yes"),
            ("!If [IsIam, yes, no]", "no"),
            ("!If [Both, yes, no]", "no"),
            ("!If [Either, yes, no]", "yes"),
            ("Fn::If: [IsIam, yes, !Ref Kind]", "JWT"),
        ];
        for (yaml, expected) in cases {
            assert_eq!(resolved_text(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn functions_give_lists() {
        assert_eq!(
            resolved_texts("!Ref Origins"),
            ["https://a.example", "https://b.example"]
        );
        assert_eq!(resolved_texts("!Split [',', 'a,b']"), ["a", "b"]);
        assert_eq!(
            resolved_texts("[a, !If [IsJwt, !Ref AWS::NoValue, b], c]"),
            ["a", "c"]
        );
    }

    #[test]
    fn no_value_removes_a_key() {
        assert_eq!(resolved("!Ref AWS::NoValue").unwrap(), None);
        let Some(Content::Map(entries)) =
            resolved("{a: !If [IsIam, 1, !Ref AWS::NoValue], b: 2}").unwrap()
        else {
            panic!("not a map");
        };
        assert_eq!(
            entries
                .iter()
                .map(|(key, _)| key.as_str())
                .collect::<Vec<_>>(),
            ["b"]
        );
    }

    #[test]
    fn what_cannot_be_resolved_is_said() {
        let cases = [
            (
                "!Ref Nothing",
                "there is no parameter or resource named Nothing",
            ),
            (
                "!Ref Iam",
                "the resource Iam does not exist under the present conditions",
            ),
            (
                "!GetAtt Iam.Arn",
                "the resource Iam does not exist under the present conditions",
            ),
            ("!If [Unknown, 1, 2]", "there is no condition named Unknown"),
            ("!Join [',']", "Fn::Join takes 2 arguments, found 1"),
            ("!Sub '${Kind'", "Fn::Sub: a ${ without its }"),
            (
                "!ImportValue other",
                "Fn::ImportValue is not supported by the local gateway",
            ),
            ("!Select [7, !Ref Origins]", "the list has no item 7"),
            (
                "!Equals [a, b]",
                "Fn::Equals belongs into Conditions; use Fn::If with a condition's name",
            ),
        ];
        for (yaml, problem) in cases {
            assert_eq!(resolved(yaml).unwrap_err(), problem, "{yaml}");
        }
    }
}
