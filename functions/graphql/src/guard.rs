//! Knows when a document has been found valid, refuses what costs too much, since the schema tells what its lists cost, and
//! stops an answer that grows over the limit while it is made.

use std::sync::Arc;

use async_graphql::{
    Response, ServerError, ServerResult, ValidationResult, Value,
    extensions::{
        Extension, ExtensionContext, ExtensionFactory, NextExecute, NextResolve, NextValidation, ResolveInfo,
    },
};

use crate::{asked::Asked, refusal::Refusal};

/// The extension; one serves all requests.
pub(crate) struct Guard;

impl ExtensionFactory for Guard {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Guard {
    async fn validation(
        &self,
        context: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(context).await?;
        if let Ok(asked) = context.data::<Arc<Asked>>() {
            // The library counts a federated query as if it resolved one entity.
            let complexity = result.complexity.saturating_mul(asked.costs.entities.max(1));
            if complexity > asked.costs.max_complexity {
                let refusal = Refusal::TooComplex { max: asked.costs.max_complexity };
                return Err(vec![refusal.to_error(asked.locale(), asked.info.correlation_id())]);
            }
        }
        Ok(result)
    }

    async fn execute(
        &self,
        context: &ExtensionContext<'_>,
        operation: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        if let Ok(asked) = context.data::<Arc<Asked>>() {
            asked.start();
        }
        next.run(context, operation).await
    }

    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let json = info.return_type.starts_with("JSON");
        let resolved = next.run(context, info).await?;
        if let Some(value) = &resolved
            && let Ok(asked) = context.data::<Arc<Asked>>()
            && !asked.fits(size(value, json))
        {
            return Err(ServerError::new("too large", None));
        }
        Ok(resolved)
    }
}

/// About how many bytes a field adds to the answer. What objects and lists hold was counted field by field; JSON was not.
fn size(value: &Value, json: bool) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::List(items) if json => items.iter().map(|item| size(item, true)).sum(),
        Value::Object(fields) if json => fields.iter().map(|(name, field)| name.len() + size(field, true)).sum(),
        Value::List(_) | Value::Object(_) => 0,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    #[test]
    fn a_value_is_counted_once() {
        assert_eq!(size(&value!("four"), false), 4);
        let nested = value!({"key": ["four", {"a": "b"}]});
        assert_eq!(size(&nested, true), 3 + 4 + 1 + 1);
        assert_eq!(size(&nested, false), 0, "field by field");
    }
}
