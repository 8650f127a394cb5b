// SPDX-License-Identifier: Apache-2.0
// State of a page in its URL: a reload and a link show the same.
import { useSearchParams } from '@solidjs/router';
import { parseSort, showSort, type SortOrder } from '../ui/sort';

export interface Query {
  get(name: string): string;
  /** Sets parameters; an empty value removes one. The history keeps one entry for a page. */
  set(values: Record<string, string>): void;
  flag(name: string): boolean;
  sort(): SortOrder | undefined;
  setSort(order: SortOrder | undefined): void;
}

export function useQuery(): Query {
  const [params, setParams] = useSearchParams();
  const get = (name: string): string => {
    const value = params[name];
    return (Array.isArray(value) ? value[0] : value) ?? '';
  };
  const set = (values: Record<string, string>): void =>
    setParams(Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value || undefined])), {
      replace: true,
      scroll: false,
    });
  return {
    get,
    set,
    flag: (name) => get(name) === '1',
    sort: () => parseSort(get('sort')),
    setSort: (order) => set({ sort: showSort(order) }),
  };
}
