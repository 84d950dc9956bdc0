//! The name of a store comes to point at another generation while it is served.

use ekphrasis_engine::{MilvusAddress, MilvusOpen, MilvusOptions, MilvusStore, Space};

use crate::support::{Home, Milvus, Server, picture};

fn detail(problem: &serde_json::Value) -> &str {
    problem["detail"].as_str().unwrap_or_default()
}

#[test]
fn a_server_goes_on_with_the_generation_that_came_to_serve() {
    let home = Home::new();
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    picture(&home.folder("pictures").join("blue.png"), [0, 0, 255]);
    let store = &Milvus::new_address();
    let index = ["index", "pictures", "--store", store, "--quiet"];
    home.ek(&index).exits(0);
    let server = Server::start(&home, &["serve", "--store", store]);
    let (_, status) = server.get("/v1/status");
    assert_eq!(status["images"], 2, "{status}");
    let dim = status["dim"].as_u64().expect("a width") as usize;
    let space = Space::new(status["space"].as_str().expect("an id"), dim).expect("a space");
    let address: MilvusAddress = store.parse().expect("an address");
    let options = MilvusOptions::default();
    let direct = MilvusStore::open(&address, &space, MilvusOpen::Existing, options.clone());
    let direct = direct.expect("opened");
    let (number, _) = direct.begin_generation(&space).expect("made");
    direct.switch_to(number).expect("switched");
    // Whoever indexes from now on fills that one.
    fs_err::remove_file(home.folder("pictures").join("red.png")).expect("removed");
    home.ek(&index).exits(0);
    server.wait_for("/v1/status", |status| status["images"] == 1);
    direct.drop_generation(1).expect("nobody needs it");
    let (status, found) = server.get("/v1/search?q=red&mode=vector");
    assert_eq!((status, found["hits"].as_array().map(Vec::len)), (200, Some(1)), "{found}");

    // Of another model it is refused, until it serves no more.
    let other = Space::new("other", 4).expect("a space");
    let (third, _) = direct.begin_generation(&other).expect("made");
    direct.switch_to(third).expect("switched");
    server.wait_for("/readyz", |answer| answer["status"] == 503);
    for path in ["/readyz", "/v1/search?q=red", "/v1/items"] {
        let (status, problem) = server.get(path);
        assert_eq!(status, 503, "{path}: {problem}");
        for part in [store.as_str(), "moved to the model of other (4-d)", "--model"] {
            assert!(detail(&problem).contains(part), "{path}: {part}: {problem}");
        }
    }
    assert_eq!(server.get("/healthz").0, 200);
    direct.switch_to(number).expect("back again");
    server.wait_for("/readyz", |answer| answer["status"] == "ready");
    assert_eq!(server.get("/v1/search?q=red&mode=vector").0, 200);

    // First the collection is gone, and then, when it is looked which one serves, all of it.
    MilvusStore::destroy(&address, options).expect("deleted");
    server.wait_for("/readyz", |answer| detail(answer).contains("there is none (any more)"));
    let (status, problem) = server.get("/v1/search?q=red&mode=vector");
    assert_eq!(status, 503, "{problem}");
    assert!(detail(&problem).contains(store), "{problem}");
}
