/** How large an event of the job is at most, how many go to the server at once, and how many wait. */

/** Bytes of UTF-8 in the largest event: a longer line becomes several. The server takes 10 MiB of JSON, and nothing is held but this. */
export const longestEventBytes = 64 * 1024;

/** The real agent's batch. In JSON a byte of payload can take six: a batch stays under the server's 10 MiB. */
export const batchEvents = 100;
export const batchBytes = 1024 * 1024;

/** When so many wait, a further event waits for room, and so does the process that prints. */
export const queueEvents = 256;
export const queueBytes = 2 * 1024 * 1024;
