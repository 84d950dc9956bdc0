//! `ek completions` and `ek man`: what shells and `man` say of the program, made of its
//! definition, so that they say what it does.

use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::Done;
use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Failure;
use crate::output;

pub(super) fn completions(args: &CompletionsArgs) -> Result<Done, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ek", &mut script);
    print(&script)
}

pub(super) fn man(args: &ManArgs) -> Result<Done, Failure> {
    let mut whole = Cli::command();
    whole.build();
    let Some(folder) = &args.to else { return print(&page(whole)?) };
    let failed = |e: std::io::Error| Failure::Environment(e.to_string());
    fs_err::create_dir_all(folder).map_err(failed)?;
    write(folder, &whole)?;
    Ok(Done::Well)
}

/// Writes the page of `command`, such as `ek-search.1`, and those of the commands in it.
fn write(folder: &Path, command: &clap::Command) -> Result<(), Failure> {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        write(folder, verb)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let file = folder.join(format!("{name}.1"));
    fs_err::write(file, page(command.clone())?).map_err(|e| Failure::Environment(e.to_string()))
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    Man::new(command)
        .source(concat!("ek ", env!("CARGO_PKG_VERSION")))
        .render(&mut text)
        .map_err(|e| Failure::Bug(format!("the manual page cannot be made: {e}")))?;
    Ok(text)
}

fn print(text: &[u8]) -> Result<Done, Failure> {
    output::line(String::from_utf8_lossy(text).trim_end())?;
    Ok(Done::Well)
}
