//! Given tools and who answers, how does an assistant reach them? The only file that
//! names the protocol's SDK. Nothing but the protocol goes to standard output.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, ToolAnnotations,
};
use rmcp::service::{QuitReason, RequestContext, RoleServer, ServerInitializeError};
use rmcp::{ErrorData, ServerHandler, ServiceExt as _};
use tokio::runtime;
use tokio::sync::Semaphore;

use super::super::{Done, cores};
use super::answers::{Answer, Answers, Content};
use super::arguments::Arguments;
use super::tools::{TOOLS, Tool};
use crate::cli::Global;
use crate::failure::Failure;
use crate::output;

/// What an assistant is told before it asks anything.
const INSTRUCTIONS: &str = "Searches the pictures that the user has indexed on this machine, by \
    what they show. A search always gives what is nearest, even if nothing fits: look at \
    `anything` in its answer and at the pictures. Nothing here changes anything.";

/// Answers an assistant until its input ends.
pub(in super::super) fn mcp(global: &Global) -> Result<Done, Failure> {
    let answers = Answers::new(global)?;
    if io::stdin().is_terminal() && !global.quiet {
        output::note(
            "ek mcp speaks with programs, by JSON-RPC on standard input: name it to your \
             assistant as a server to start (Ctrl-D ends it)",
        );
    }
    let failed = |what: &str| Failure::Environment(format!("ek mcp cannot go on: {what}"));
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| failed(&e.to_string()))?;
    let server = Server { answers: Arc::new(answers), turns: Arc::new(Semaphore::new(cores())) };
    let ended = runtime.block_on(async move {
        match server.serve(rmcp::transport::stdio()).await {
            Ok(running) => match running.waiting().await {
                Ok(QuitReason::JoinError(e)) | Err(e) => Err(failed(&e.to_string())),
                Ok(_) => Ok(Done::Well),
            },
            // It went away before it said anything.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(Done::Well),
            Err(ServerInitializeError::ExpectedInitializeRequest(_)) => Err(Failure::Usage(
                "the first message has to be the request `initialize` of the Model Context Protocol"
                    .into(),
            )),
            Err(e) => Err(failed(&e.to_string())),
        }
    });
    // Work or a read of standard input may be under way that nothing ends.
    runtime.shutdown_background();
    ended
}

/// What the SDK asks.
struct Server {
    answers: Arc<Answers>,
    /// As many tools work at once as there are cores; the rest waits.
    turns: Arc<Semaphore>,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("ekphrasis", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.iter().map(described).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = TOOLS.iter().find(|tool| tool.name == request.name) else {
            let known: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
            let what = format!("there is no tool {:?}, only {}", request.name, known.join(", "));
            return Err(ErrorData::invalid_params(what, None));
        };
        let arguments = Arguments::new(request.arguments.unwrap_or_default());
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let answers = Arc::clone(&self.answers);
        // On a thread of its own: it takes the processor.
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            answers.answer(tool, arguments)
        });
        let answer = answer
            .await
            .unwrap_or_else(|_| Err(Failure::Bug(format!("{} was cut off by a panic", tool.name))));
        Ok(result(answer).into())
    }
}

/// A tool as it is listed.
fn described(tool: &Tool) -> rmcp::model::Tool {
    rmcp::model::Tool::new(tool.name, tool.description, tool.schema()).with_annotations(
        ToolAnnotations::with_title(tool.title).read_only(true).idempotent(true).open_world(false),
    )
}

fn result(answer: Answer) -> CallToolResult {
    match answer {
        Ok(content) => CallToolResult::success(content.into_iter().map(block).collect()),
        Err(failure) => {
            let why = failure.message().unwrap_or_default();
            CallToolResult::error(vec![ContentBlock::text(why)])
        }
    }
}

fn block(content: Content) -> ContentBlock {
    match content {
        Content::Text(text) => ContentBlock::text(text),
        Content::Jpeg(base64) => ContentBlock::image(base64, "image/jpeg"),
    }
}
