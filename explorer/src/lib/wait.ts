// SPDX-License-Identifier: Apache-2.0

/** How long the node may take to answer. */
const ANSWER_TIMEOUT_MS = 20_000;

/** What was asked of the node; fails if it doesn't answer in time. */
export async function inTime<T>(asked: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the node didn't answer within ${ANSWER_TIMEOUT_MS / 1000} s`)), ANSWER_TIMEOUT_MS);
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}
