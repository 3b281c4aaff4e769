//! Tasks on zones and on whole clusters: names, edges, branches and contexts of the documented samples
//! (docs/ocp-v2.md#zone-operations, docs/ocp-v2.md#cluster-operations), in either shape.

use obsteward::config::TaskShape;
use obsteward::operations::definition::Definition;
use obsteward::operations::{cluster, zone};
use serde_json::{Value, json};

use super::Fixture;

/// What `listMap` and `stringMap` of a sample have and ours has not.
const NOT_OURS: &[&str] = &["ocpagent_service_name", "prohibit_rollback", "host_ids", "21.zone1.host_ids"];

/// Of one sample: the operation, its path, and of its steps the name, whether it is one of parallel ones, and the timeout (0: none
/// is published).
struct Sample {
    operation: &'static Definition,
    path: &'static str,
    strings: &'static [&'static str],
    lists: &'static [&'static str],
    steps: &'static [(&'static str, bool, u64)],
}

const ZONE_STRINGS: &[&str] =
    &["cluster_name", "cluster_id", "former_cluster_status", "zone_name", "target_cluster_status", "prohibit_rollback"];
const CLUSTER_STRINGS: &[&str] = &["cluster_name", "cluster_id", "former_cluster_status"];

static SAMPLES: &[Sample] = &[
    Sample {
        operation: &zone::STOP,
        path: "zones/zone2/stop",
        strings: ZONE_STRINGS,
        lists: &["server_ids"],
        steps: &[
            ("Prepare stop OB zone", false, 1800),
            // Ours waits while leaders leave.
            ("Stop zone", false, 0),
            ("Prepare stop observer", true, 300),
            ("Wait node", false, 30),
            ("Stop observer process", true, 1200),
            ("Wait node", false, 30),
            ("Update observer status", true, 300),
            ("Update zone status", false, 1800),
            ("Sync cluster info", false, 30),
            ("Update OB cluster status", false, 30),
        ],
    },
    Sample {
        operation: &zone::START,
        path: "zones/zone2/start",
        strings: ZONE_STRINGS,
        lists: &["server_ids"],
        steps: &[
            ("Prepare start OB zone", false, 1800),
            ("Prepare start observer", true, 300),
            ("Wait node", false, 30),
            ("Start observer process", true, 1200),
            ("Wait observer active", true, 1800),
            ("Start ocp agent service", true, 1800),
            ("Wait node", false, 30),
            ("Update observer status", true, 300),
            ("Start zone", false, 1800),
            ("Update zone status", false, 1800),
            ("Sync cluster info", false, 30),
            ("Update OB cluster status", false, 30),
        ],
    },
    Sample {
        operation: &cluster::STOP,
        path: "stop",
        strings: CLUSTER_STRINGS,
        lists: &["server_ids", "zone_names"],
        steps: &[
            ("Prepare stop cluster", false, 0),
            ("Prepare stop OB zone", true, 0),
            ("Wait node", false, 0),
            ("Prepare stop observer", true, 0),
            ("Freeze server", true, 0),
            ("Wait node", false, 0),
            ("Stop observer process", true, 0),
            ("Wait node", false, 0),
            ("Update observer status", true, 0),
            ("Wait node", false, 0),
            ("Update zone status", true, 0),
            ("Update OB cluster status", false, 0),
        ],
    },
    Sample {
        operation: &cluster::START,
        path: "start",
        strings: CLUSTER_STRINGS,
        lists: &["server_ids", "host_ids", "zone_names"],
        steps: &[
            ("Prepare start cluster", false, 0),
            ("Prepare start OB zone", true, 0),
            ("Wait node", false, 0),
            ("Prepare start observer", true, 0),
            ("Wait node", false, 0),
            ("Start observer process", true, 0),
            ("Wait observer accessible", true, 0),
            ("Start ocp agent service", true, 0),
            ("Wait node", false, 0),
            ("Start server", true, 0),
            ("Wait node", false, 0),
            ("Start zone", true, 0),
            ("Wait node", false, 0),
            ("Update observer status", true, 0),
            ("Wait node", false, 0),
            ("Update zone status", true, 0),
            ("Sync all tenant information", false, 0),
            ("Update OB cluster status", false, 0),
        ],
    },
    Sample {
        operation: &cluster::RESTART,
        path: "restart",
        strings: CLUSTER_STRINGS,
        lists: &["20.zone2.server_ids", "zone_names"],
        steps: &[
            ("Prepare restart cluster", false, 0),
            ("Set zone context", false, 0),
            ("Prepare restart OB zone", true, 0),
            ("Prepare restart observer", true, 0),
            ("Freeze server", true, 0),
            ("Wait node", false, 0),
            ("Stop observer process", true, 0),
            ("Wait node", false, 0),
            ("Start observer process", true, 0),
            ("Wait observer accessible", true, 0),
            ("Start ocp agent service", true, 0),
            ("Wait node", false, 0),
            ("Start server", true, 0),
            ("Wait node", false, 0),
            ("Update observer status", true, 0),
            ("Start zone", true, 0),
            ("Update zone status", true, 0),
            ("Sync cluster info", false, 0),
            ("Sync all tenant information", false, 0),
            ("Update OB cluster status", false, 0),
        ],
    },
];

async fn answers(sample: &Sample) -> [Value; 2] {
    let ask = async |shape| {
        let fixture = Fixture::admin(|config| config.task_shape = shape).await;
        fixture.accept(sample.operation).await;
        fixture.post(&format!("/api/v2/ob/clusters/20/{}", sample.path)).await.body["data"].clone()
    };
    [ask(TaskShape::Legacy).await, ask(TaskShape::V4).await]
}

#[tokio::test]
async fn zones_and_clusters_answer_the_documented_graphs_in_either_shape() {
    for sample in SAMPLES {
        let [old, new] = answers(sample).await;
        for (task, key) in [(&old, "tasks"), (&new, "subtasks")] {
            assert_eq!(task["name"], sample.operation.name);
            let subtasks = task[key].as_array().unwrap_or_else(|| panic!("{}: {task}", sample.path));
            assert_eq!(subtasks.len(), sample.steps.len(), "{}", sample.path);
            // One server in one zone: each waits for the one before it.
            let mut before: Vec<i64> = Vec::new();
            for ((name, parallel, timeout), found) in sample.steps.iter().zip(subtasks) {
                assert_eq!((&found["name"], &found["upstreams"]), (&json!(name), &json!(before)), "{found}");
                before = vec![found["id"].as_i64().unwrap()];
                if key == "subtasks" {
                    assert_eq!(found["parallelIdx"], if *parallel { 0 } else { -1 }, "{found}");
                    assert!(*timeout == 0 || found["timeout"] == *timeout, "{found}");
                }
            }
        }
        let context = &new["context"];
        assert_eq!((&context["parallel"], &context["parallelIdx"]), (&json!(false), &json!(-1)));
        for (map, keys) in [("stringMap", sample.strings), ("listMap", sample.lists)] {
            for key in keys.iter().filter(|key| !NOT_OURS.contains(key)) {
                assert!(context[map].get(key).is_some(), "{}: {key} is not in {context}", sample.path);
            }
        }
    }
}

#[tokio::test]
async fn the_contexts_of_zones_and_clusters() {
    let mut shown = String::new();
    for sample in SAMPLES {
        let [old, new] = answers(sample).await;
        shown.push_str(&format!("{}\n  {}\n  {}\n", sample.path, old["context"].as_str().unwrap(), new["context"]));
    }
    insta::assert_snapshot!(shown);
}
