//! The settings file that `leadline config init` writes: everything that can be set, commented out.

use std::fmt::Write as _;

use crate::console::keymap::Keymap;

const HEAD: &str = "\
# Settings of leadline. A line without its leading # is in force; `leadline config print` shows what is.

# Colours: \"auto\" (sixteen of the terminal's own, none if NO_COLOR is set), \"16\", \"256\",
# \"contrast\" (no colour and nothing faint: weight, underlines and reversed text) or \"never\".
#color = \"auto\"
# Frames and signs in ASCII only; without this line the locale decides.
#ascii = false
# No frames and bars, all below each other, the cursor on what is selected: for screen readers.
#plain = false
# The wheel moves and a click selects; Shift (Option on a Mac) then selects text. `:mouse` turns that on and off.
#mouse = false
# The console changes nothing.
#read_only = false
# Something is typed before each change in the console: its number, whom it is about, or what it does.
#careful = false
# The console opens where it was left: screen, company, filters, orders.
#remember = true
# The profile that is used where neither --profile nor --server is given.
#profile = \"production\"

# A profile for each daemon: `leadline --profile production`, or `:connect production` in the console.
# Paths are relative to this file; ~/ is your home.
#[profiles.production]
#server = \"https://leads.example.com:7443\"
#token_file = \"~/.leadline-token\"
#ca = \"authority.pem\"
#client_cert = \"me.pem\"
#client_key = \"me.key\"
#read_only = true
#careful = true
#color = \"16\"

# Commands of your own on what is selected: a line for sh, run on the terminal. What is selected stands in
# SELECTED_LEAD, SELECTED_PERSON, SELECTED_COMPANY, SELECTED_INTEGRATION, SELECTED_DELIVERY, SELECTED_ATTEMPT,
# SELECTED_CAUSE and SELECTED_JOB; LEADLINE_SERVER is the daemon.
#[[command]]
#name = \"open a ticket\"
#key = \"J\"
#run = \"leadline lead evidence \\\"$SELECTED_LEAD\\\" --mask | ${EDITOR:-vi} -\"
# Ask before, and refuse while read-only:
#dangerous = false
# Keep its output until Enter is pressed:
#wait = true

# Keys: several with blanks between, \"none\" for none; yours win over ours. Esc, 1 to 6, ctrl-c, ctrl-l and ctrl-z stay
# as they are.
#[keys]
";

/// The text of a new settings file.
pub fn sample() -> String {
    let mut text = HEAD.to_owned();
    for line in Keymap::default().iter().filter(|line| !line.shown.is_empty()) {
        let Some(name) = line.action.name() else { continue };
        let keys: Vec<String> = line.keys.iter().map(|key| key.name()).collect();
        let setting = format!("#{name} = \"{}\"", keys.join(" "));
        // Writing to a String cannot fail.
        if writeln!(text, "{setting:<32} # {}", line.label).is_err() {
            break;
        }
    }
    text
}
