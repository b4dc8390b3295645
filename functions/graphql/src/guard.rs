//! Knows when a document has been found valid, and refuses what costs too much: the schema tells what its lists cost.

use std::sync::Arc;

use async_graphql::{
    Response, ServerError, ValidationResult,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute, NextValidation},
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
}
