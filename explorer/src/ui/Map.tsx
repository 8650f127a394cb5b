// SPDX-License-Identifier: Apache-2.0
// The world with a dot for each place that has nodes. Small states have no shape here, and dots like all others.
import { geoNaturalEarth1, geoPath } from 'd3-geo';
import { createMemo, For, type JSX } from 'solid-js';
import { feature } from 'topojson-client';
import type { Topology, GeometryCollection } from 'topojson-specification';
import map from 'world-atlas/countries-110m.json';
import { t } from '../texts';

export interface Place {
  name: string;
  /** Longitude and latitude in degrees. */
  at: [number, number];
  nodes: number;
  online: number;
}

const [WIDTH, HEIGHT] = [960, 430];
const ANTARCTICA = '010';
// Wider than high: what lies south of all nodes is cut off.
const projection = geoNaturalEarth1().scale(176).translate([WIDTH / 2, HEIGHT / 2 + 30]);
const path = geoPath(projection).digits(1);

const world = map as unknown as Topology<{ countries: GeometryCollection }>;
const shapes = feature(world, world.objects.countries).features
  .filter(({ id }) => id !== ANTARCTICA)
  .flatMap((shape) => path(shape) ?? []);

export default function Map(props: { places: Place[] }): JSX.Element {
  const dots = createMemo(() =>
    props.places.flatMap((place) => {
      const at = projection(place.at);
      return at ? [{ place, at, size: 4 + 2 * Math.log2(place.nodes + 1) }] : [];
    }),
  );
  return (
    <svg class="map" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={t.grid.mapLabel(props.places.length)}>
      <For each={shapes}>{(shape) => <path class="land" d={shape} />}</For>
      <For each={dots()}>
        {({ place, at: [x, y], size }) => (
          <circle cx={x} cy={y} r={size} classList={{ dot: true, dark: place.online === 0 }}>
            <title>{t.grid.place(place.name, place.nodes, place.online)}</title>
          </circle>
        )}
      </For>
    </svg>
  );
}
