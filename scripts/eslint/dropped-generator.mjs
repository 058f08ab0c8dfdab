// A generator that is called and dropped never runs: `k.swap.folioPut(k, folio);` does nothing.
// Such a call must be `yield*`ed, kept, or passed on.

const GENERATORS = new Set(["Generator", "AsyncGenerator", "IterableIterator"]);

function isGenerator(type) {
  if (type.isUnion()) return type.types.some(isGenerator);
  const name = (type.getSymbol() ?? type.aliasSymbol)?.getName();
  return name !== undefined && GENERATORS.has(name);
}

/** The call whose value an expression statement throws away. */
function droppedCalls(node) {
  switch (node.type) {
    case "CallExpression":
      return [node];
    case "ChainExpression":
      return droppedCalls(node.expression);
    case "UnaryExpression":
      return node.operator === "void" || node.operator === "!" ? droppedCalls(node.argument) : [];
    case "ConditionalExpression":
      return [...droppedCalls(node.consequent), ...droppedCalls(node.alternate)];
    case "LogicalExpression":
      return droppedCalls(node.right);
    case "SequenceExpression":
      return node.expressions.flatMap(droppedCalls);
    default:
      return [];
  }
}

export default {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      dropped: "The generator that this call returns is dropped and never runs: write yield*.",
      tested: "A generator is always true: write yield*.",
    },
  },
  create(context) {
    const services = context.sourceCode.parserServices;
    const check = (messageId) => (node) => {
      if (isGenerator(services.getTypeAtLocation(node))) context.report({ node, messageId });
    };
    const test = (node) => {
      if (node?.type === "CallExpression") check("tested")(node);
      else if (node?.type === "UnaryExpression" && node.operator === "!") test(node.argument);
      else if (node?.type === "LogicalExpression") [node.left, node.right].forEach(test);
    };
    return {
      ExpressionStatement: (node) => droppedCalls(node.expression).forEach(check("dropped")),
      IfStatement: (node) => test(node.test),
      WhileStatement: (node) => test(node.test),
      ConditionalExpression: (node) => test(node.test),
    };
  },
};
