//! Logs in to a mail server and says goodbye.

use super::{Compiled, error};
use crate::prelude::*;

/// Without a message it is the login alone that is tried.
pub(super) async fn look(ready: &Compiled, ctx: &mut Conversation<'_>) -> Result<()> {
    let login = ready.login.told();
    error::read(&ctx.send(ready.mail(login.clone(), Bytes::new())).await?)?;
    let host = &ready.server.host;
    ctx.found.account = Some(match login {
        Some(login) => format!("{} at {host}", summary::one_line(&login.username)),
        None => format!("{host}, without login"),
    });
    Ok(())
}
