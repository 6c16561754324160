/** Decodes `.siren` pictures and draws them, as the functions that they are. See docs/WEB.md. */

/** Anything wrong with a file or an argument; the message is one line. */
export class SirenError extends Error {}

/** Colour, or the picture's derivatives: the magnitude of the gradient from black, the Laplacian
 * around mid-grey; the 99.5th percentile over the picture is the end of the range. */
export type Show = 'colour' | 'gradient' | 'laplacian';

export interface Limits {
  /** Pixels of the stored picture: 89,478,485 unless said otherwise. */
  pixels?: number;
  /** Multiply-adds to read its grids: 2^42. */
  multiplyAdds?: number;
  /** Bytes of a file: 64 MiB. */
  fileBytes?: number;
}

/** Where the priors are: the folder of `prior-1.bin` and the others (the one that siren.js lies in
 * unless said otherwise), or the bytes of these files by their number, for pages without a server. */
export type Priors = string | URL | Record<number, ArrayBuffer | Uint8Array>;

export interface OpenOptions {
  signal?: AbortSignal;
  /** Called each time that further layers have come, coarse first, and before `open` resolves
   * with the same picture. */
  onlayer?: (picture: Picture) => void;
  priors?: Priors;
  limits?: Limits;
  /** Whether a file that ends before its time is a picture all the same; `whole` is then false. */
  partial?: boolean;
}

export type Source = string | URL | Response | Blob | ArrayBuffer | Uint8Array;

/** Decode a file, in a worker where there are workers. Rejects with a SirenError for what is no
 * sound file, with the AbortError of the signal, with a TypeError where the network fails. */
export function open(source: Source, options?: OpenOptions): Promise<Picture>;

/** A rectangle of the picture in its pixels: the whole is {x: 0, y: 0, width, height}, so the left
 * edge of the first pixel is x = 0 (and its centre is at 0.5 here, but 0 for `at`). */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface RenderOptions extends Partial<Region> {
  /** Pixels of the output; as many as the region's unless said otherwise. */
  outWidth?: number;
  outHeight?: number;
  show?: Show;
  signal?: AbortSignal;
}

/** Samples of the picture's own channels and depth, row by row. */
export interface Samples {
  width: number;
  height: number;
  channels: number;
  data: Uint8Array | Uint16Array;
}

export interface Metadata {
  icc?: Uint8Array;
  exif?: Uint8Array;
  xmp?: Uint8Array;
}

export class Picture {
  private constructor();
  readonly width: number;
  readonly height: number;
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. */
  readonly channels: number;
  /** 8 or 16 bits a sample. */
  readonly depth: number;
  readonly metadata: Metadata;
  /** The finest level of latent grids that has come; 0 when all have. */
  readonly firstLevel: number;
  /** Whether all of the file has come, and is sound. */
  readonly whole: boolean;

  /** RGBA of any region at any size, computed in the worker; where a pixel covers more than one of
   * the picture it is their mean. What lies outside the picture is transparent. (An ImageData; a
   * plain object of the same members where there is no ImageData.) */
  render(options?: RenderOptions): Promise<ImageData>;
  /** The same in the picture's own samples. The region lies within the picture. */
  samples(options?: Omit<RenderOptions, 'show'>): Promise<Samples>;

  /** The samples at a point, 0 to 255 or 65535, neither rounded nor clipped: integers are pixel
   * centres, and the picture covers -1/2 to width - 1/2. Throws a SirenError outside it. */
  at(x: number, y: number): number[];
  /** [d/dx, d/dy] of each channel at a point, in samples per pixel. */
  gradient(x: number, y: number): [number, number][];
  /** The Laplacian of each channel at a point, in samples per pixel squared. */
  laplacian(x: number, y: number): number[];

  /** Let go of the worker's memory; what was asked of it is rejected. */
  close(): void;
}

export interface DrawOptions extends Partial<Region> {
  show?: Show;
}

export interface RendererOptions {
  /** true: WebGL2 even if the CPU emulates it; false: never; otherwise where there is a GPU. */
  gpu?: boolean;
  /** What the picture's numbers mean, and the canvas's colours: 'srgb' unless said otherwise. */
  colorSpace?: PredefinedColorSpace;
}

/** Draws a picture on a canvas, whose 2D context it takes: by WebGL2 where there is one (one context
 * serves all pictures of a page), else by tiles that the worker computes. */
export class Renderer {
  constructor(canvas: HTMLCanvasElement | OffscreenCanvas, picture: Picture, options?: RendererOptions);
  /** Draw a rectangle of the picture, stretched to the canvas's own pixels (`canvas.width` and
   * `canvas.height`, which the caller sets); what lies outside the picture is transparent. Resolves
   * to true when it is drawn, to false when a later call took its place. Until then the canvas
   * keeps what it showed. */
  draw(view?: DrawOptions): Promise<boolean>;
  /** Take another picture, or the layers that have come since (`onlayer`); draw afterwards. */
  update(picture: Picture): void;
  /** Whether WebGL2 draws. */
  readonly isGpu: boolean;
  /** Called when WebGL2's context was lost, and another one or none was taken: draw again. */
  onrestore: (() => void) | null;
  close(): void;
}
