//! What settings of the reader's own change of the console.

use super::pictures::shown;
use super::tests::{last, mutation};
use crate::console::data::Mutation;
use crate::console::fixtures::{live, press, visit};

#[test]
fn whoever_is_careful_types_each_number_and_each_name() {
    let mut app = live(120, 36);
    app.shared.setup.careful = true;
    visit(&mut app, "r");
    assert!(shown(&app).contains("Type 1 to confirm"), "{}", shown(&app));
    assert!(press(&mut app, "y enter").is_empty(), "it was typed, and is no number");
    assert_eq!(last(&app), "not possible: type the count");
    assert!(mutation(&press(&mut app, "^u 1 enter")).is_some(), "{}", shown(&app));
    for (keys, name) in [("e", "hubspot-eu"), ("t", "hubspot-eu"), ("a 0", "hubspot-eu")] {
        let mut app = live(120, 36);
        app.shared.setup.careful = true;
        visit(&mut app, keys);
        assert!(shown(&app).contains(&format!("Type {name} to confirm")), "{keys}: {}", shown(&app));
        press(&mut app, "enter");
        assert_eq!(last(&app), "not possible: type the full name");
        assert!(mutation(&press(&mut app, &format!("{name} enter"))).is_some(), "{keys}: {}", shown(&app));
    }
    // What neither leaves for a target nor is about one is as light as it was.
    let mut app = live(120, 36);
    app.shared.setup.careful = true;
    visit(&mut app, "4 X");
    assert!(matches!(mutation(&press(&mut app, "y")), Some(Mutation::CancelJob { .. })), "{}", shown(&app));
}
