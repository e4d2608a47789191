// Hands on the page's uncaught errors. The browser shows them to listeners of the page's own world alone, so this runs there, first of all scripts: what it
// needs it keeps before the page can change it, and it speaks by events of a name that the page does not know.
(name => {
  'use strict';
  if (window !== window.top) return;
  const { apply } = Reflect;
  const { dispatchEvent, addEventListener } = EventTarget.prototype;
  const { CustomEvent, ErrorEvent, Error, String } = window;
  const message = Object.getOwnPropertyDescriptor(ErrorEvent.prototype, 'message').get;
  const reason = Object.getOwnPropertyDescriptor(PromiseRejectionEvent.prototype, 'reason').get;
  const tell = detail => apply(dispatchEvent, window, [new CustomEvent(name, { detail })]);
  const on = (type, listener) => apply(addEventListener, window, [type, listener, true]);
  on('error', event => {
    // Elements that do not load have events of the same name.
    if (event.isTrusted && event instanceof ErrorEvent) tell(apply(message, event, []));
  });
  on('unhandledrejection', event => {
    if (!event.isTrusted) return;
    let text = '';
    try {
      const why = apply(reason, event, []);
      text = why instanceof Error ? why.message : String(why);
    } catch {
      // Its text is code of the page, which may fail.
    }
    tell('in a promise: ' + text);
  });
})
