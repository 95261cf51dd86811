//! The template's parameters: values given, defaults, and the constraints that CloudFormation checks.

use std::collections::BTreeMap;

use regex::Regex;

use super::fault::Fault;
use super::value::Value;
use super::yaml::{Content, Node};

/// The value of every parameter that the template declares.
pub(super) fn resolve(
    template: &Node,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Node>, Fault> {
    let declared = template.get("Parameters").map_or(&[][..], Node::entries);
    if let Some(unknown) = given
        .keys()
        .find(|name| !declared.iter().any(|(known, _)| known == *name))
    {
        return Err(Fault::of_the_file(format!(
            "a value was given for {unknown}, but there is no such parameter"
        )));
    }
    declared
        .iter()
        .map(|(name, declaration)| {
            let parameter = Value::new(declaration.clone(), format!("Parameters.{name}"));
            let value = value(&parameter, given.get(name).map(String::as_str))?;
            Ok((
                name.clone(),
                Node {
                    line: declaration.line,
                    content: value,
                },
            ))
        })
        .collect()
}

fn value(parameter: &Value, given: Option<&str>) -> Result<Content, Fault> {
    let default = parameter.get("Default")?;
    let text = match (given, &default) {
        (Some(given), _) => given,
        (None, Some(default)) => default.text()?,
        (None, None) => return Err(parameter.fault("no value was given, and there is no default")),
    };
    let kind = parameter.require("Type")?;
    if kind.text()? == "CommaDelimitedList" || kind.text()?.starts_with("List<") {
        let items: Vec<_> = text.split(',').map(str::trim).collect();
        items.iter().try_for_each(|item| check(parameter, item))?;
        Ok(Content::List(
            items.into_iter().map(|item| Node::text(0, item)).collect(),
        ))
    } else {
        if kind.text()? == "Number" && text.parse::<f64>().is_err() {
            return Err(parameter.fault(format!("{text:?} is not a number")));
        }
        check(parameter, text)?;
        Ok(Content::Text(text.to_owned()))
    }
}

/// Checks one value, or one member of a list, against the parameter's constraints.
fn check(parameter: &Value, text: &str) -> Result<(), Fault> {
    let description = parameter.get("ConstraintDescription")?;
    let refused = |constraint: String| {
        let constraint = match &description {
            Some(description) => description.text().map_or(constraint, str::to_owned),
            None => constraint,
        };
        Err(parameter.fault(format!("{text:?} is refused: {constraint}")))
    };

    if let Some(allowed) = parameter.get("AllowedValues")? {
        let allowed = allowed.texts()?;
        if !allowed.iter().any(|value| value == text) {
            return refused(format!("must be one of {}", allowed.join(", ")));
        }
    }
    if let Some(pattern) = parameter.get("AllowedPattern")? {
        // CloudFormation matches the whole value.
        let regex = Regex::new(&format!("^(?:{})$", pattern.text()?))
            .map_err(|error| pattern.fault(format!("this pattern cannot be used here: {error}")))?;
        if !regex.is_match(text) {
            return refused(format!("must match {}", pattern.text()?));
        }
    }
    let length = text.chars().count();
    if let Some(least) = parameter.get("MinLength")? {
        let least: usize = least.parse("a number")?;
        if length < least {
            return refused(format!("must have at least {least} characters"));
        }
    }
    if let Some(most) = parameter.get("MaxLength")? {
        let most: usize = most.parse("a number")?;
        if length > most {
            return refused(format!("must have at most {most} characters"));
        }
    }
    if let Ok(number) = text.parse::<f64>() {
        if let Some(least) = parameter.get("MinValue")? {
            let least: f64 = least.parse("a number")?;
            if number < least {
                return refused(format!("must be at least {least}"));
            }
        }
        if let Some(most) = parameter.get("MaxValue")? {
            let most: f64 = most.parse("a number")?;
            if number > most {
                return refused(format!("must be at most {most}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn resolved(declaration: &str, given: Option<&str>) -> Result<Content, String> {
        let template = parse(&format!("Parameters:\n  P: {declaration}")).unwrap();
        let given = given
            .map(|value| ("P".to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        resolve(&template, &given)
            .map(|mut all| all.remove("P").unwrap().content)
            .map_err(|fault| fault.problem)
    }

    fn texts(content: &Content) -> Vec<&str> {
        match content {
            Content::List(items) => items.iter().filter_map(Node::as_text).collect(),
            _ => panic!("not a list: {content:?}"),
        }
    }

    #[test]
    fn a_given_value_wins_over_the_default() {
        let declaration = "{Type: String, Default: a}";
        assert_eq!(
            resolved(declaration, None).unwrap(),
            Content::Text("a".to_owned())
        );
        assert_eq!(
            resolved(declaration, Some("b")).unwrap(),
            Content::Text("b".to_owned())
        );
    }

    #[test]
    fn lists_are_split_at_commas_and_trimmed() {
        let list = resolved(
            "{Type: CommaDelimitedList}",
            Some("https://a.example, https://b.example"),
        )
        .unwrap();
        assert_eq!(texts(&list), ["https://a.example", "https://b.example"]);
        assert_eq!(
            texts(&resolved("{Type: CommaDelimitedList, Default: ''}", None).unwrap()),
            [""]
        );
    }

    #[test]
    fn what_cloudformation_refuses_is_refused() {
        let cases = [
            (
                "{Type: String}",
                None,
                "no value was given, and there is no default",
            ),
            ("{Type: Number}", Some("many"), "\"many\" is not a number"),
            (
                "{Type: Number, MinValue: 1}",
                Some("0"),
                "\"0\" is refused: must be at least 1",
            ),
            (
                "{Type: Number, MaxValue: 9}",
                Some("10"),
                "\"10\" is refused: must be at most 9",
            ),
            (
                "{Type: String, MinLength: 1}",
                Some(""),
                "\"\" is refused: must have at least 1 characters",
            ),
            (
                "{Type: String, MaxLength: 1}",
                Some("ab"),
                "\"ab\" is refused: must have at most 1 characters",
            ),
            (
                "{Type: String, AllowedValues: [JWT, IAM]}",
                Some("NONE"),
                "\"NONE\" is refused: must be one of JWT, IAM",
            ),
            (
                "{Type: String, AllowedPattern: '[a-z]+'}",
                Some("a1"),
                "\"a1\" is refused: must match [a-z]+",
            ),
            (
                "{Type: CommaDelimitedList, AllowedPattern: '[a-z]+', ConstraintDescription: small letters}",
                Some("a,B"),
                "\"B\" is refused: small letters",
            ),
        ];
        for (declaration, given, problem) in cases {
            assert_eq!(
                resolved(declaration, given).unwrap_err(),
                problem,
                "{declaration}"
            );
        }
    }

    #[test]
    fn a_value_for_an_unknown_parameter_is_a_fault() {
        let given = BTreeMap::from([("Q".to_owned(), "1".to_owned())]);
        let fault = resolve(&parse("Parameters: {}").unwrap(), &given).unwrap_err();
        assert_eq!(
            fault.problem,
            "a value was given for Q, but there is no such parameter"
        );
    }
}
