//! Every bound of the product, with its reason. Nothing that grows is without one.

/// The bytes of one event as its sender wrote it; Kafka's default message limit is the same.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// The bytes of one request body, before and after decompression.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Decompressed bytes a compressed byte, beyond the first [`BODY_RATIO_FREE`]: real JSON stays under 100.
pub const BODY_RATIO_MAX: usize = 200;
/// Decompressed bytes that are always allowed, whatever the ratio: tiny bodies of zeros compress well by nature.
pub const BODY_RATIO_FREE: usize = 1 << 20;
/// Bytes of all bodies that doors hold at once, being read or waiting for their answer; beyond that a door answers 429.
/// A body that comes in one piece does not count: it lies in its connection's read buffer.
pub const BODIES_BYTES_MAX: usize = 128 << 20;
/// Events in one request: a batch is answered as one, so one client must not hold a door for long.
pub const REQUEST_EVENTS_MAX: usize = 10_000;
/// Nested objects and arrays in one event: no honest event is deeper, and parsers recurse.
pub const JSON_DEPTH_MAX: usize = 64;
/// Steps of a field path.
pub const FIELD_DEPTH_MAX: usize = 8;
/// Bytes of a key, a type or an id: they are indexed.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a tenant's name.
pub const TENANT_BYTES_MAX: usize = 63;
/// Bytes of all headers of one record.
pub const HEADERS_BYTES_MAX: usize = 16 << 10;
/// Bytes of one gRPC message: what stock clients and proxies take unless told otherwise.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Batches of one gRPC call that may wait for their answer; the sender is held back by flow control then.
pub const GRPC_IN_FLIGHT_MAX: usize = 32;
/// Refused events that one answer lists; the rest are counted.
pub const REJECTED_LISTED_MAX: usize = 1_000;

/// Streams in one process, internal ones included; each has an open segment.
pub const STREAMS_MAX: usize = 256;
/// Partitions of one stream; each has an index in memory.
pub const PARTITIONS_MAX: u32 = 1_024;

/// Request bytes that may wait for the log's writer; beyond that a door answers 429. One lane alone gets half of it.
pub const APPEND_QUEUE_BYTES: usize = 64 << 20;
/// Requests that may wait for the log's writer; half of them in one lane.
pub const APPEND_QUEUE_LEN: usize = 16_384;
/// Bytes that one group commit takes at the most: the first request of a group waits for the last.
pub const GROUP_BYTES_MAX: usize = 4 << 20;
/// The same while several lanes send: a quiet one waits for the group at hand, and a large one takes 15 to 30 ms.
pub const GROUP_BYTES_SHARED: usize = 1 << 20;
/// Bytes of one frame's body before compression: a reader holds one frame in memory.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Bytes of one segment file: what recovery scans, and the step in which retention frees space.
pub const SEGMENT_BYTES: u64 = 256 << 20;
/// Bytes of the disk that the log leaves free: what the store and small files need until somebody has made room.
pub const DISK_RESERVE_BYTES: u64 = 256 << 20;
/// Bytes between two entries of a segment's sparse index, for each partition.
pub const INDEX_EVERY_BYTES: u64 = 128 << 10;
/// Ids that duplicate suppression remembers for a stream unless configured: 8 bytes each.
pub const DEDUP_IDS: usize = 4 << 20;

/// Bytes of records that one engine batch takes: one store transaction.
pub const PIPELINE_BATCH_BYTES: usize = 4 << 20;
/// Rows of one chunk table of the store: what an unindexed scan reads, and what sealing indexes at once.
pub const CHUNK_ROWS: u64 = 1 << 18;
/// Rows that one page of a query holds.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Keys that one rule holds in memory for each partition; the least recently used go first.
pub const RULE_KEYS_MAX: usize = 1 << 20;
/// Times that a count rule holds for one key, and where the count that it tells stops: 80 KB for a key under fire.
pub const RULE_COUNT_MAX: usize = 10_000;
/// Times that one rule holds for each partition over all keys, 8 bytes each: 64 MiB.
pub const RULE_TIMES_MAX: usize = 8 << 20;

/// Rows that a replay exchanges at the most when it is swapped: they are in memory, and one transaction of the live store,
/// while the engine stands still. With more, the range is narrowed.
pub const SWAP_CHANGES_MAX: usize = 200_000;
/// Failed replays of a dead letter, automatic ones included, after which there may be another; one more quarantines it.
pub const LETTER_REPLAYS_MAX: u32 = 3;
/// Groups that one definition of windows holds open for each partition; the least recently used hand their piece over
/// to the store and go first.
pub const WINDOW_GROUPS_MAX: usize = 1 << 20;
/// Bytes that one definition of windows holds for each partition, about; beyond that groups hand their pieces over early,
/// too.
pub const WINDOW_BYTES_MAX: usize = 256 << 20;
/// Lengths of one definition of windows.
pub const WINDOW_SIZES_MAX: usize = 16;
/// Windows of one definition that hop that an event may be in: each is a piece when it is late.
pub const WINDOW_HOPS_MAX: i64 = 288;
/// Measures of one definition of windows.
pub const WINDOW_MEASURES_MAX: usize = 32;
/// Fields that make a group.
pub const WINDOW_FIELDS_MAX: usize = 8;
/// Values that a `novel` rule knows of one key; the oldest go first.
pub const RULE_VALUES_MAX: usize = 64;

/// Bytes of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Bytes of one answer that is kept for its idempotency key; a longer one lists hundreds of refused events, and is not.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Answers that are kept in memory for their idempotency keys: more than one a second for a day.
pub const ANSWERS_MAX: usize = 1 << 17;
/// Bytes of memory that those may take.
pub const ANSWERS_BYTES: usize = 64 << 20;
/// How long an answer is kept for its idempotency key, in milliseconds: a day.
pub const ANSWERS_AGE_MS: i64 = 24 * 3_600 * 1_000;
/// How many bytes of answers are kept in the log, so that they survive a restart.
pub const ANSWERS_LOG_BYTES: u64 = 256 << 20;

/// How long refused events are kept, in milliseconds: 30 days.
pub const REFUSED_AGE_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// How many bytes of refused events are kept in the log.
pub const REFUSED_BYTES: u64 = 1 << 30;

const _: () = assert!(EVENT_BYTES_MAX + HEADERS_BYTES_MAX < FRAME_BYTES_MAX, "an event fits in a frame");
const _: () = assert!(2 * BODY_BYTES_MAX <= BODIES_BYTES_MAX, "a request fits, as it came and decompressed");
const _: () = assert!(2 * BODY_BYTES_MAX <= APPEND_QUEUE_BYTES, "a request fits in the queue, and in half of it");
const _: () = assert!((FRAME_BYTES_MAX as u64) < SEGMENT_BYTES, "a frame fits in a segment");
const _: () = assert!(KEY_BYTES_MAX <= u16::MAX as usize, "a span's length is a u16 on disk");
const _: () = assert!(HEADERS_BYTES_MAX <= u16::MAX as usize, "a span's length is a u16 on disk");
const _: () = assert!(IDEMPOTENCY_KEY_BYTES_MAX <= KEY_BYTES_MAX, "an idempotency key is the key of a record");
const _: () = assert!(ANSWER_BYTES_MAX <= EVENT_BYTES_MAX, "an answer is a record");
const _: () = assert!(ANSWER_BYTES_MAX < ANSWERS_BYTES, "an answer fits in the memory for them");
const _: () = assert!(RULE_COUNT_MAX <= RULE_TIMES_MAX, "one key fits in the memory of its rule");
