//! Looking through what the newest leads say: on a key, or by itself where nobody is called so and the typing has paused.

use jiff::{SignedDuration, Timestamp};

use super::LeadsScreen;
use crate::console::app::shared::{Shared, Tone};
use crate::console::data::Query;
use crate::console::screen::Cx;

/// Anywhere it is looked for three characters or more.
const LEAST: usize = 3;
/// So long nothing is typed before it is looked for anywhere by itself: that costs the daemon much.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

impl LeadsScreen {
    /// When it looks anywhere by itself; never twice for what was typed, and not for whom people are masked.
    pub(super) fn pause_ends(&self, shared: &Shared) -> Option<Timestamp> {
        let may = self.is_offered
            && self.is_nobody()
            && !self.fetch.is_waiting()
            && !shared.is_masked()
            && shared.is_live();
        may.then(|| self.typed_at.map_or(Timestamp::MIN, |at| at + PAUSE))
    }

    /// Looks anywhere once the typing has paused for long enough.
    pub(super) fn look_by_itself(&mut self, cx: &mut Cx<'_>) {
        if self.pause_ends(cx.shared).is_some_and(|at| at <= cx.shared.now) {
            self.look_anywhere(cx);
            self.is_by_itself = true;
        }
    }

    /// Whether what is wanted was looked for anywhere already: that costs the daemon much, and the older pages would go.
    pub(super) fn is_kept(&self) -> bool {
        let is_found = self.fetch.error.is_none()
            && self.fetch.value.as_ref().is_some_and(|hits| hits.searched.is_some());
        self.is_anywhere
            && self.asked.1
            && self.asked.0 == self.text()
            && (is_found || self.fetch.is_waiting())
    }

    /// Looks through what leads say, beyond who they are.
    pub(super) fn look_anywhere(&mut self, cx: &mut Cx<'_>) {
        if self.is_kept() {
            return;
        }
        if cx.shared.is_masked() {
            return cx
                .say(Tone::Bad, "not possible: people are masked for you, and what leads say names them");
        }
        if !cx.shared.is_live() {
            return cx.say(Tone::Bad, "not possible: not connected");
        }
        if self.text().chars().count() < LEAST {
            return cx.say(Tone::Bad, "not possible: three characters at least are looked for anywhere");
        }
        self.is_anywhere = true;
        (self.is_offered, self.is_opening, self.is_by_itself) = (false, false, false);
        self.look(cx);
    }

    /// Looks through the leads behind those that were looked through, or says why not.
    pub(super) fn look_further(&mut self, cx: &mut Cx<'_>) {
        let Some(hits) = self.fetch.value.as_ref().filter(|_| !self.fetch.is_waiting()) else { return };
        let Some(after) = hits.next() else {
            let said = if hits.more { "no more of them are shown: type on" } else { "that is all there is" };
            return cx.say(Tone::Plain, said);
        };
        let company = cx.shared.company.as_ref().map(|(id, _)| *id);
        self.is_older = true;
        self.fetch.ask(Query::FindAnywhere { text: self.asked.0.clone(), company, after }, cx);
    }

    /// Whether one key more looks anywhere: nobody is called so.
    pub(super) fn is_nobody(&self) -> bool {
        !self.is_anywhere
            && self.fetch.value.as_ref().is_some_and(|hits| hits.rows.is_empty())
            && self.text() == self.asked.0
            && self.text().chars().count() >= LEAST
    }
}
