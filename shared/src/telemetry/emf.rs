//! CloudWatch's embedded metric format: metrics that CloudWatch extracts from a log line.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use time::OffsetDateTime;

/// The CloudWatch namespace of the metrics.
const NAMESPACE: &str = "AirbyteEmbedded";

/// The fields of the log line by which a metric is grouped. Each further set multiplies the number of metrics, and so
/// their price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimensions {
    Function,
    FunctionAndOutcome,
}

impl Dimensions {
    const ALL: [Self; 2] = [Self::Function, Self::FunctionAndOutcome];

    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Function => &["Function"],
            Self::FunctionAndOutcome => &["Function", "outcome"],
        }
    }
}

/// A value with its unit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Count(u32),
    Milliseconds(f64),
}

impl Value {
    fn unit(self) -> &'static str {
        match self {
            Self::Count(_) => "Count",
            Self::Milliseconds(_) => "Milliseconds",
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Count(count) => serializer.serialize_u32(count),
            Self::Milliseconds(milliseconds) => serializer.serialize_f64(milliseconds),
        }
    }
}

/// One metric of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) value: Value,
    pub(super) dimensions: Dimensions,
}

/// The fields of the log line that hold the metrics' values.
pub(super) struct Values<'a>(pub(super) &'a [Metric]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|metric| (metric.name, metric.value)))
    }
}

/// The field `_aws`, which declares the metrics.
pub(super) struct Metadata<'a> {
    pub(super) metrics: &'a [Metric],
    pub(super) timestamp: OffsetDateTime,
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let milliseconds =
            self.timestamp.unix_timestamp() * 1_000 + i64::from(self.timestamp.millisecond());
        let directives: Vec<_> = Dimensions::ALL
            .into_iter()
            .map(|dimensions| Directive {
                metrics: self.metrics,
                dimensions,
            })
            .filter(|directive| directive.definitions().next().is_some())
            .collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("Timestamp", &milliseconds)?;
        map.serialize_entry("CloudWatchMetrics", &directives)?;
        map.end()
    }
}

/// The metrics with one set of dimensions.
struct Directive<'a> {
    metrics: &'a [Metric],
    dimensions: Dimensions,
}

impl Directive<'_> {
    fn definitions(&self) -> impl Iterator<Item = Definition> {
        self.metrics
            .iter()
            .filter(|metric| metric.dimensions == self.dimensions)
            .map(|metric| Definition {
                name: metric.name,
                unit: metric.value.unit(),
            })
    }
}

impl Serialize for Directive<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let definitions: Vec<_> = self.definitions().collect();
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("Namespace", NAMESPACE)?;
        map.serialize_entry("Dimensions", &[self.dimensions.fields()])?;
        map.serialize_entry("Metrics", &definitions)?;
        map.end()
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::Duration;

    #[test]
    fn declares_metrics_by_dimensions() {
        let metric = |name, value, dimensions| Metric {
            name,
            value,
            dimensions,
        };
        let metrics = [
            metric("Requests", Value::Count(1), Dimensions::Function),
            metric("Problems", Value::Count(1), Dimensions::FunctionAndOutcome),
            metric("Latency", Value::Milliseconds(0.5), Dimensions::Function),
        ];
        let metadata = |metrics| {
            let timestamp = OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(1_500);
            serde_json::to_value(Metadata { metrics, timestamp }).unwrap()
        };
        let by_function = json!({
            "Namespace": "AirbyteEmbedded", "Dimensions": [["Function"]],
            "Metrics": [{"Name": "Requests", "Unit": "Count"}, {"Name": "Latency", "Unit": "Milliseconds"}],
        });
        let by_outcome = json!({
            "Namespace": "AirbyteEmbedded", "Dimensions": [["Function", "outcome"]],
            "Metrics": [{"Name": "Problems", "Unit": "Count"}],
        });

        assert_eq!(
            serde_json::to_value(Values(&metrics)).unwrap(),
            json!({"Requests": 1, "Problems": 1, "Latency": 0.5})
        );
        assert_eq!(
            metadata(&metrics),
            json!({"Timestamp": 1500, "CloudWatchMetrics": [by_function, by_outcome]})
        );
        assert_eq!(
            metadata(&[])["CloudWatchMetrics"],
            json!([]),
            "no directive without metrics"
        );
    }
}
