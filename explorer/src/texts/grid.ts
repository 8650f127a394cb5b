// SPDX-License-Identifier: Apache-2.0
import { number } from '../lib/format';

export const grid = {
  online: 'Nodes online',
  of: (all: number) => `of ${number(all)}`,
  farms: 'Farms',
  countries: 'Countries',
  contracts: 'Contracts on nodes',
  made: (n: bigint) => `${number(n)} made so far, with names`,
  price: 'TFT price',
  capacity: 'Capacity of online nodes',
  whole: 'All of it',
  map: 'Where the nodes are',
  mapLabel: (places: number) => `Map of the world with ${number(places)} places that have nodes; the table beside it lists them by country`,
  place: (name: string, nodes: number, online: number) => `${name}: ${number(nodes)} nodes, ${number(online)} online`,
  noPlaces: 'No farmer has said where a node stands.',
  byCountry: 'By country',
  columns: { country: 'Country', nodes: 'Nodes', online: 'Online', cru: 'vCPU free', mru: 'Memory free', sru: 'SSD free' },
  history: 'TFT price by day',
  historyLabel: (from: string, first: string, to: string, last: string) => `From ${first} on ${from} to ${last} on ${to}`,
  shortHistory: 'The chain has one day of prices so far.',
  charged: 'Charged by month',
  chargedNote: 'All contracts that the chain still knows: open ones, and those closed in the last 90 days; months of 720 hours.',
  chargedLoad: 'Sum up the bills',
  chargedColumns: { month: 'From', tft: 'TFT', usd: 'USD', contracts: 'Contracts' },
  noCharges: 'Nothing was charged yet.',
};
