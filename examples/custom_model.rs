//! Your own network behind the same queue, store and API: other input, other classes.
//!
//! ```text
//! cargo run --release --example custom_model
//! curl --form file=@examples/pictures/seven-bottom.webp --header 'Prefer: wait=5' http://127.0.0.1:8000/classify
//! ```
//!
//! This one takes pictures of 16×16 pixels and tells which quarter of them holds the most ink.

use std::net::TcpListener;
use std::sync::Arc;

use mnistq::broker::sqlite::SqliteBroker;
use mnistq::database::Database;
use mnistq::digit::{ReadError, Reader};
use mnistq::http::{self, FrontEnd, Offer};
use mnistq::job::Picture;
use mnistq::model::{Model, ModelCard, ModelError};
use mnistq::store::sqlite::SqliteStore;
use mnistq::worker::{Engine, Worker};
use mnistq::{broker, shutdown, store, worker};

const SIDE: u16 = 16;

struct Quarters(ModelCard);

impl Model for Quarters {
    fn card(&self) -> &ModelCard {
        &self.0
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        let side = usize::from(SIDE);
        let predict_one = |picture: &[u8]| {
            let mut ink = [1.0_f32; 4];
            for (index, pixel) in picture.iter().enumerate() {
                ink[index / side / (side / 2) * 2 + index % side / (side / 2)] += f32::from(*pixel);
            }
            let total: f32 = ink.iter().sum();
            ink.map(|share| (share / total).ln())
        };
        Ok(pixels.chunks(side * side).flat_map(predict_one).collect())
    }
}

struct Thumbnail;

impl Reader for Thumbnail {
    fn read(&self, upload: &[u8]) -> Result<Picture, ReadError> {
        let image = image::load_from_memory(upload).map_err(|_| ReadError::Unsupported)?;
        let small = image.resize_exact(SIDE.into(), SIDE.into(), image::imageops::FilterType::Triangle);
        Picture::new(SIDE, SIDE, small.into_luma8().into_raw()).ok_or(ReadError::Unsupported)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::open(&std::env::temp_dir().join("mnistq-custom-model/queue.db"))?;
    let broker = Arc::new(SqliteBroker::new(database.clone(), &broker::Settings::default()));
    let store = Arc::new(SqliteStore::new(database, &store::Settings::default()));
    let card = ModelCard {
        name: "quarters".to_owned(),
        weights_sha256: String::new(),
        device: "cpu".to_owned(),
        width: SIDE,
        height: SIDE,
        classes: 4,
    };
    let engine = Engine::start(move || Ok(Box::new(Quarters(card)))).await?;
    let settings = worker::Settings::default();
    let worker = Worker {
        name: "quarters".to_owned(),
        broker: broker.clone(),
        store: store.clone(),
        engine,
        settings,
    };
    let front_end = FrontEnd {
        broker,
        store,
        reader: Arc::new(Thumbnail),
        offer: Offer {
            name: "quarters".to_owned(),
            width: SIDE,
            height: SIDE,
            classes: 4,
        },
        courier: None,
        settings: http::Settings::default(),
    };
    let listener = TcpListener::bind(front_end.settings.bind)?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = shutdown::on_signal()?;
    let (served, worked) = tokio::join!(http::serve(listener, front_end, stop.clone()), worker.run(stop));
    served?;
    worked?;
    Ok(())
}
