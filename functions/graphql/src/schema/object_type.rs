//! Object types in the schema.

use super::shown::shown_type;

shown_type! {
    /// An object type: something a company reasons about, such as a customer or an order.
    ObjectType of oms_core::object_type::ObjectType as object_types
    links {
        /// The link types that start here, by name.
        outgoing_link_types at Source,
        /// The link types that end here, by name.
        incoming_link_types at Target,
    }
    own {}
    /// A version of an object type.
    ObjectTypeVersion,
    /// Two versions of an object type, and what changed from the one to the other.
    VersionComparison by object_type_id
}
