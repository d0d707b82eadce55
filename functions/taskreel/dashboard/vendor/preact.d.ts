// The types of what the page uses of Preact and htm, for `tsc --checkJs` and editors.

export type Child = unknown;
type Inputs = readonly unknown[];
type Cleanup = void | undefined | (() => void);
type Update<T> = (value: T | ((old: T) => T)) => void;

export function html(strings: TemplateStringsArray, ...values: unknown[]): any;
export function render(child: Child, parent: Element): void;
export function useState<T>(initial: T | (() => T)): [T, Update<T>];
export function useEffect(effect: () => Cleanup, inputs?: Inputs): void;
export function useLayoutEffect(effect: () => Cleanup, inputs?: Inputs): void;
export function useMemo<T>(make: () => T, inputs: Inputs): T;
export function useCallback<T extends (...given: never[]) => unknown>(call: T, inputs: Inputs): T;
export function useRef<T>(initial: T): { current: T };
