//! What object types and link types have in common, written once.

/// A type, its version, its comparison, as objects of the schema; `links` and `own` are the fields that only this kind has.
macro_rules! shown_type {
    (
        $(#[$doc:meta])* $name:ident of $entity:ty as $loader:ident
        links { $($(#[$link_doc:meta])* $link:ident at $end:ident,)* }
        own { $($own:tt)* }
        $(#[$version_doc:meta])* $version:ident,
        $(#[$comparison_doc:meta])* $comparison:ident by $id:ident
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name(pub(crate) std::sync::Arc<$entity>);

        $(#[$doc])*
        #[async_graphql::Object]
        impl $name {
            /// Its identity, through renames, deletion and restoration.
            async fn id(&self) -> async_graphql::ID {
                async_graphql::ID(self.0.id.to_string())
            }

            /// Unique among the live types of its kind, compared without case.
            async fn name(&self) -> &str {
                self.0.definition.name.as_str()
            }

            /// For people.
            async fn display_name(&self) -> &str {
                &self.0.definition.display_name
            }

            /// For people.
            async fn description(&self) -> Option<&str> {
                self.0.definition.description.as_deref()
            }

            /// One word to group types by.
            async fn category(&self) -> Option<&str> {
                self.0.definition.category.as_deref()
            }

            /// A set of labels.
            async fn tags(&self) -> Option<&[String]> {
                Some(&self.0.definition.tags)
            }

            /// In the order they were given.
            #[graphql(complexity = "crate::schema::page::list_cost(child_complexity)")]
            async fn properties(&self) -> Vec<crate::schema::property::Property<'_>> {
                crate::schema::property::list(&self.0.definition.properties, &self.0.definition.references)
            }

            /// Datasets that back the type.
            #[graphql(complexity = "crate::schema::page::list_cost(child_complexity)")]
            async fn base_datasets(&self) -> Vec<crate::schema::property::DatasetReference<'_>> {
                self.0.definition.base_datasets.iter().map(Into::into).collect()
            }

            /// Anything clients want to keep.
            async fn metadata(&self) -> async_graphql::Json<&serde_json::Map<String, serde_json::Value>> {
                async_graphql::Json(&self.0.definition.metadata)
            }

            /// 1, and one more with every write.
            async fn version(&self) -> i32 {
                self.0.stamp.version
            }

            /// When the type was first created.
            async fn created_at(&self) -> crate::schema::scalar::Time {
                crate::schema::scalar::Time(self.0.stamp.created_at)
            }

            /// By whom.
            async fn created_by(&self) -> &str {
                &self.0.stamp.created_by
            }

            /// When this version was written.
            async fn updated_at(&self) -> crate::schema::scalar::Time {
                crate::schema::scalar::Time(self.0.stamp.updated_at)
            }

            /// By whom.
            async fn updated_by(&self) -> &str {
                &self.0.stamp.updated_by
            }

            /// Its versions, newest first.
            #[graphql(complexity = "crate::schema::page::cost(pagination.as_ref(), child_complexity)")]
            async fn versions(
                &self,
                context: &async_graphql::Context<'_>,
                pagination: Option<crate::schema::page::PaginationInput>,
            ) -> async_graphql::Result<crate::schema::page::Connection<$version>> {
                let asked = crate::asked::Asked::of(context);
                let id = self.0.id.0;
                let page = crate::schema::version::of_type(asked, &asked.$loader, id, pagination).await?;
                Ok(crate::schema::page::Connection::new(&page, |info| $version::listed(id, info)))
            }

            $(
                $(#[$link_doc])*
                #[graphql(complexity = "crate::schema::page::cost(pagination.as_ref(), child_complexity)")]
                async fn $link(
                    &self,
                    context: &async_graphql::Context<'_>,
                    pagination: Option<crate::schema::page::PaginationInput>,
                ) -> async_graphql::Result<
                    crate::schema::page::CountedConnection<crate::schema::link_type::LinkType>,
                > {
                    let end = oms_core::link_type::End::$end;
                    crate::schema::link_type::at_end(context, self.0.id, end, pagination).await
                }
            )*

            $($own)*
        }

        $(#[$version_doc])*
        pub(crate) struct $version {
            id: uuid::Uuid,
            info: oms_core::version::VersionInfo,
            snapshot: Option<std::sync::Arc<$entity>>,
        }

        impl $version {
            /// One whose snapshot is read when it is asked for.
            pub(crate) fn listed(id: uuid::Uuid, info: &oms_core::version::VersionInfo) -> Self {
                Self { id, info: info.clone(), snapshot: None }
            }
        }

        impl From<oms_core::version::Version<$entity>> for $version {
            fn from(version: oms_core::version::Version<$entity>) -> Self {
                Self {
                    id: version.snapshot.id.0,
                    info: version.info,
                    snapshot: Some(std::sync::Arc::new(version.snapshot)),
                }
            }
        }

        $(#[$version_doc])*
        #[async_graphql::Object]
        impl $version {
            /// 1, and one more with every write.
            async fn version(&self) -> i32 {
                self.info.version
            }

            /// What made it.
            async fn action(&self) -> crate::schema::scalar::VersionAction {
                self.info.action.into()
            }

            /// The type as it was.
            async fn snapshot(&self, context: &async_graphql::Context<'_>) -> async_graphql::Result<$name> {
                if let Some(snapshot) = &self.snapshot {
                    return Ok($name(snapshot.clone()));
                }
                let asked = crate::asked::Asked::of(context);
                crate::schema::version::snapshot(asked, &asked.$loader, self.id, self.info.version).await.map($name)
            }

            /// Why, if the writer said so.
            async fn change_description(&self) -> Option<&str> {
                self.info.change_description.as_deref()
            }

            /// When.
            async fn created_at(&self) -> crate::schema::scalar::Time {
                crate::schema::scalar::Time(self.info.created_at)
            }

            /// By whom.
            async fn created_by(&self) -> &str {
                &self.info.created_by
            }
        }

        $(#[$comparison_doc])*
        #[derive(async_graphql::SimpleObject)]
        pub(crate) struct $comparison {
            /// The type's identity.
            $id: async_graphql::ID,
            /// The version compared from.
            version1: $version,
            /// The version compared to.
            version2: $version,
            /// What changed; properties are matched by id, so a rename is MODIFIED.
            #[graphql(complexity = "crate::schema::page::list_cost(child_complexity)")]
            changes: Vec<crate::schema::version::FieldChange>,
        }

        impl From<oms_core::version::Comparison<$entity>> for $comparison {
            fn from(comparison: oms_core::version::Comparison<$entity>) -> Self {
                Self {
                    $id: async_graphql::ID(comparison.to.snapshot.id.to_string()),
                    version1: comparison.from.into(),
                    version2: comparison.to.into(),
                    changes: comparison.changes.into_iter().map(Into::into).collect(),
                }
            }
        }
    };
}

pub(crate) use shown_type;
