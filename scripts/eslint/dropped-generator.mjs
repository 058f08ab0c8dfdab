// A generator that is called and dropped never runs: `k.swap.folioPut(k, folio);` does nothing.
// Such a call must be `yield*`ed, kept, or passed on.

const GENERATORS = new Set(["Generator", "AsyncGenerator", "IterableIterator"]);

function isGenerator(type) {
  if (type.isUnion()) return type.types.some(isGenerator);
  const name = (type.getSymbol() ?? type.aliasSymbol)?.getName();
  return name !== undefined && GENERATORS.has(name);
}

/** The calls whose value is that of the expression. */
function valueCalls(node) {
  switch (node?.type) {
    case "CallExpression":
      return [node];
    case "ChainExpression":
    case "TSAsExpression":
    case "TSNonNullExpression":
    case "TSSatisfiesExpression":
      return valueCalls(node.expression);
    case "ConditionalExpression":
      return [...valueCalls(node.consequent), ...valueCalls(node.alternate)];
    case "LogicalExpression":
      return [...(node.operator === "??" ? valueCalls(node.left) : []), ...valueCalls(node.right)];
    case "SequenceExpression":
      return valueCalls(node.expressions.at(-1));
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
    const check = (messageId) => (expression) => {
      for (const node of valueCalls(expression)) if (isGenerator(services.getTypeAtLocation(node))) context.report({ node, messageId });
    };
    const dropped = check("dropped");
    const tested = check("tested");
    const testOf = (node) => tested(node.test);
    return {
      ExpressionStatement: (node) => dropped(node.expression),
      SequenceExpression: (node) => node.expressions.slice(0, -1).forEach(dropped),
      UnaryExpression: (node) => {
        if (node.operator === "void") dropped(node.argument);
        else if (node.operator === "!") tested(node.argument);
      },
      IfStatement: testOf,
      WhileStatement: testOf,
      DoWhileStatement: testOf,
      ConditionalExpression: testOf,
      ForStatement: (node) => {
        [node.init, node.update].forEach(dropped);
        testOf(node);
      },
      LogicalExpression: (node) => {
        if (node.operator !== "??") tested(node.left);
      },
    };
  },
};
