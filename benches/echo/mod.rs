//! The yardstick: a WebSocket echo on the same executor, sockets and WebSocket library.

use async_tungstenite::tungstenite::Message;
use smol::stream::StreamExt as _;

/// Serves until killed.
pub(crate) fn serve(port: u16) {
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = async_net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true).unwrap();
            executor.spawn(echo(stream)).detach();
        }
    }));
}

async fn echo(stream: async_net::TcpStream) {
    let (_, config) = super::websocket_config();
    let Ok(mut socket) = async_tungstenite::accept_async_with_config(stream, Some(config)).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}
