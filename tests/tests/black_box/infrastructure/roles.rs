//! Roles that are written in the templates, beside those that SAM makes of each function's policies. For deployments SAM also makes
//! one of CodeDeploy with `AWSCodeDeployRoleForLambda`.

use std::rc::Rc;

use serde_json::{Value, json};

use super::{
    rights::{Rights, database_user, kafka, rights},
    template::{ACCOUNT, REGION, STAGES, Stack, text},
};

/// What a role is for.
struct Expected {
    /// The service that may take it.
    service: &'static str,
    /// AWS's own policy, if it has one.
    managed: Option<&'static str>,
    rights: Vec<(&'static str, String)>,
}

fn expected(root: &Rc<Stack>, stack: &Stack, role: &str) -> Expected {
    let (mut managed, mut rights) = (None, Vec::new());
    let service = match role {
        "BootstrapRole" => {
            rights.push(("kafka:GetBootstrapBrokers", kafka(root, "cluster")));
            let log = || stack.arn("BootstrapLogs");
            rights.extend([("logs:CreateLogStream", log()), ("logs:PutLogEvents", log())]);
            "lambda"
        }
        "SchedulerRole" => {
            for (_, schedule) in of_type(stack, "AWS::Scheduler::Schedule") {
                rights.push(("lambda:InvokeFunction", text(&schedule["Target"]["Arn"])));
                rights.push(("sqs:SendMessage", text(&schedule["Target"]["DeadLetterConfig"]["Arn"])));
            }
            "scheduler"
        }
        "ProxyRole" => {
            let cluster = text(&stack.attribute("Database", "Endpoint.Address"));
            rights.push(("rds-db:connect", database_user(root, &cluster, "oms_app")));
            "rds"
        }
        "FlowLogRole" => {
            let log = || stack.arn("FlowLogGroup");
            rights.extend([
                ("logs:CreateLogStream", log()),
                ("logs:DescribeLogStreams", log()),
                ("logs:PutLogEvents", log()),
                ("logs:DescribeLogGroups", format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:*")),
            ]);
            "vpc-flow-logs"
        }
        "MonitoringRole" => {
            managed = Some("AmazonRDSEnhancedMonitoringRole");
            "monitoring.rds"
        }
        "ApiGatewayLogRole" => {
            managed = Some("AmazonAPIGatewayPushToCloudWatchLogs");
            "apigateway"
        }
        other => panic!("what is {other} for?"),
    };
    Expected { service, managed, rights }
}

fn of_type(stack: &Stack, kind: &str) -> Vec<(String, Value)> {
    let resources = stack.resources().into_iter().filter(|(_, definition)| definition["Type"] == kind);
    resources.map(|(name, definition)| (name.to_owned(), stack.value(&definition["Properties"]).unwrap())).collect()
}

fn statements_of(role: &Value) -> Vec<Value> {
    let policies = role["Policies"].as_array().into_iter().flatten();
    policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap().clone()).collect()
}

/// The statements of every role.
pub(super) fn statements(root: &Rc<Stack>) -> Vec<(String, Vec<Value>)> {
    let roles = root.all().into_iter().flat_map(|stack| of_type(&stack, "AWS::IAM::Role"));
    roles.map(|(name, role)| (name, statements_of(&role))).collect()
}

#[test]
fn every_role_can_be_taken_by_its_service_alone_and_may_do_what_that_does_for_us_and_no_more() {
    for stage in STAGES {
        let root = Stack::of(stage);
        let mut roles = 0;
        for stack in root.all() {
            for policy in ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy", "AWS::IAM::User"] {
                assert_eq!(of_type(&stack, policy), [], "{stage}: {policy} is not looked at here");
            }
            for (name, role) in of_type(&stack, "AWS::IAM::Role") {
                roles += 1;
                let Expected { service, managed, rights: needs } = expected(&root, &stack, &name);
                let trust = role["AssumeRolePolicyDocument"]["Statement"].as_array().unwrap();
                let [trust] = trust.as_slice() else { panic!("{stage}: {name}: {trust:?}") };
                let principal = json!({"Service": format!("{service}.amazonaws.com")});
                assert_eq!((&trust["Principal"], &trust["Action"]), (&principal, &json!("sts:AssumeRole")), "{name}");
                let given = role["ManagedPolicyArns"].as_array().cloned().unwrap_or_default();
                let managed = managed.map(|name| json!(format!("arn:aws:iam::aws:policy/service-role/{name}")));
                assert_eq!(given, Vec::from_iter(managed), "{stage}: {name}");
                let mut may = rights(&name, &statements_of(&role));
                may.retain(|(action, _)| !action.starts_with("kms:"));
                let needs: Rights = needs.into_iter().map(|(action, on)| (action.to_owned(), on)).collect();
                assert_eq!(may, needs, "{stage}: {name} (left: may, right: does)");
            }
        }
        assert!(roles > 3, "{stage} has {roles} roles");
    }
}
