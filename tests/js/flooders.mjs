// SPDX-License-Identifier: Apache-2.0

/** The accounts of a development chain that pay for a flood. */
export const FLOODERS = ['Dave', 'Eve', 'Ferdie', 'Alice//stash', 'Bob//stash', 'Charlie//stash', 'Dave//stash',
  'Eve//stash', 'Ferdie//stash'].map((name) => `//${name}`);
